module alyx.dev/alyx

go 1.19
