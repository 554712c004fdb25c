// Fetches https://HOST/ through a proxy with net/http.
//
// Usage: visit PROXY HOST TRUST TLS PIN
// TLS is 1.2, 1.3 or any; PIN is the base64 of the only public key accepted, checked in VerifyConnection, or -.
// Exit codes: 0 an answer came, 3 the certificate was refused, 1 anything else.
package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"
)

var errPin = errors.New("the public key is not the pinned one")

func main() {
	proxy, host, trust, version, pin := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	pem, err := os.ReadFile(trust)
	if err != nil {
		leave(1, err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	config := &tls.Config{RootCAs: roots}
	switch version {
	case "1.2":
		config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	case "1.3":
		config.MinVersion = tls.VersionTLS13
	}
	if pin != "-" {
		config.VerifyConnection = func(state tls.ConnectionState) error {
			shown := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)
			if base64.StdEncoding.EncodeToString(shown[:]) != pin {
				return errPin
			}
			return nil
		}
	}
	transport := &http.Transport{
		Proxy:              http.ProxyURL(&url.URL{Scheme: "http", Host: proxy}),
		ProxyConnectHeader: http.Header{"User-Agent": {"visit.go"}},
		TLSClientConfig:    config,
		ForceAttemptHTTP2:  true,
	}
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	response, err := client.Get("https://" + host + "/")
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown), errors.As(err, &name), errors.As(err, &invalid), errors.Is(err, errPin):
		leave(3, err)
	case err != nil:
		leave(1, err)
	}
	response.Body.Close()
	transport.CloseIdleConnections()
	fmt.Println(response.StatusCode)
}

func leave(code int, err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(code)
}
