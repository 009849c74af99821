"""Forms of a message on Hopskotch, apart from what writes them: settings name them, and must load without a database."""

V1, V2, RETRACTION = "v1", "v2", "retraction"
#: Forms of other receivers: GCN's unified notice, and Hermes's message. Both withdraw in their own form.
GCN, HERMES = "gcn", "hermes"
FORMATS = (V1, V2, GCN, HERMES)
