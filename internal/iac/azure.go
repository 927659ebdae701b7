package iac

var azureReaders = map[string]reader{}
