// MinIO's server as the tests start it, at the version that go.mod names; see tests/services/minio.py.
package main

import (
	"os"

	minio "github.com/minio/minio/cmd"
)

func main() { minio.Main(os.Args) }
