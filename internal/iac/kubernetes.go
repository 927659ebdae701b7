package iac

var kubernetesReaders = map[string]reader{}
