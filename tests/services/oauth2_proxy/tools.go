// Package tools names the proxy of the login tests, so that go.mod and go.sum pin it.
//go:build tools

package tools

import _ "github.com/oauth2-proxy/oauth2-proxy/v7"
