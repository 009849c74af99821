"""Make Swift's three rings of one device each in one process: ``python make_rings.py FOLDER account=PORT …``."""

import sys
from pathlib import Path

if __name__ == "__main__":
    from swift.common.ring import RingBuilder

    for word in sys.argv[2:]:
        kind, _, port = word.partition("=")
        ring = RingBuilder(part_power=4, replicas=1, min_part_hours=0)
        device = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "sdb1", "weight": 1.0}
        ring.add_dev({**device, "replication_ip": "127.0.0.1", "replication_port": int(port)})
        ring.rebalance()
        ring.get_ring().save(str(Path(sys.argv[1], f"{kind}.ring.gz")))
