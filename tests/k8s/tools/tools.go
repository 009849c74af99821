// Package tools names the programs of the Kubernetes tests, so that go.mod and go.sum pin them.
//go:build tools

package tools

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
)
