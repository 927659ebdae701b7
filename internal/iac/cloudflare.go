package iac

var cloudflareReaders = map[string]reader{}
