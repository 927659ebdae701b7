package iac

var pathReaders = map[string]reader{}
