package iac

var awsReaders = map[string]reader{}
