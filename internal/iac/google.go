package iac

var googleReaders = map[string]reader{}
