//go:build tools

// Package tools pins stripe-mock, which judges the shape of what we send to the payment gateway: `make build/stripe-mock`.
package tools

import _ "github.com/stripe/stripe-mock"
