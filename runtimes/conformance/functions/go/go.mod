module alyx.dev/conformance

go 1.19

require alyx.dev/alyx v0.0.0

replace alyx.dev/alyx => ../../../go
