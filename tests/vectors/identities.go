// What Fulcio makes of the claims in identities.json. In a checkout of sigstore/fulcio v1.8.8:
// go run identities.go fulcio-public-instance.yaml identities.json
package main

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"unsafe"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/sigstore/fulcio/pkg/config"
	"github.com/sigstore/fulcio/pkg/identity"
	"github.com/sigstore/fulcio/pkg/identity/buildkite"
	"github.com/sigstore/fulcio/pkg/identity/chainguard"
	"github.com/sigstore/fulcio/pkg/identity/ciprovider"
	"github.com/sigstore/fulcio/pkg/identity/codefresh"
	"github.com/sigstore/fulcio/pkg/identity/email"
	"github.com/sigstore/fulcio/pkg/identity/github"
	"github.com/sigstore/fulcio/pkg/identity/gitlabcom"
	"github.com/sigstore/fulcio/pkg/identity/kubernetes"
	"github.com/sigstore/fulcio/pkg/identity/spiffe"
	"github.com/sigstore/fulcio/pkg/identity/uri"
	"github.com/sigstore/fulcio/pkg/identity/username"
	"go.yaml.in/yaml/v3"
)

var principals = map[string]func(context.Context, *oidc.IDToken) (identity.Principal, error){
	"email":               email.PrincipalFromIDToken,
	"uri":                 uri.PrincipalFromIDToken,
	"username":            username.PrincipalFromIDToken,
	"spiffe":              spiffe.PrincipalFromIDToken,
	"kubernetes":          kubernetes.PrincipalFromIDToken,
	"chainguard-identity": chainguard.PrincipalFromIDToken,
	"ci-provider":         ciprovider.WorkflowPrincipalFromIDToken,
	"buildkite-job":       buildkite.JobPrincipalFromIDToken,
	"codefresh-workflow":  codefresh.WorkflowPrincipalFromIDToken,
	"github-workflow":     github.WorkflowPrincipalFromIDToken,
	"gitlab-pipeline":     gitlabcom.JobPrincipalFromIDToken,
}

type vector struct {
	Case   string
	Iss    string
	Issuer json.RawMessage
	Claims json.RawMessage
}

// token is verified, as far as the principals can tell.
func token(v vector) (*oidc.IDToken, error) {
	var subject struct {
		Sub string `json:"sub"`
	}
	if err := json.Unmarshal(v.Claims, &subject); err != nil {
		return nil, err
	}
	t := &oidc.IDToken{Issuer: v.Iss, Subject: subject.Sub}
	claims := reflect.ValueOf(t).Elem().FieldByName("claims")
	*(*[]byte)(unsafe.Pointer(claims.UnsafeAddr())) = v.Claims
	return t, nil
}

func certificate(public []byte, v vector) (string, *x509.Certificate, error) {
	var cfg config.FulcioConfig
	if err := yaml.Unmarshal(public, &cfg); err != nil {
		panic(err)
	}
	var issuer config.OIDCIssuer
	if err := yaml.Unmarshal(v.Issuer, &issuer); err != nil {
		panic(err)
	}
	issuer.IssuerURL = v.Iss
	cfg.OIDCIssuers = map[string]config.OIDCIssuer{v.Iss: issuer}
	ctx := config.With(context.Background(), &cfg)
	t, err := token(v)
	if err != nil {
		return "", nil, err
	}
	principal, err := principals[string(issuer.Type)](ctx, t)
	if err != nil {
		return "", nil, err
	}
	cert := &x509.Certificate{}
	return principal.Name(ctx), cert, principal.Embed(ctx, cert)
}

func main() {
	public, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	file, err := os.Open(os.Args[2])
	if err != nil {
		panic(err)
	}
	var vectors []vector
	if err := json.NewDecoder(file).Decode(&vectors); err != nil {
		panic(err)
	}
	for _, v := range vectors {
		challenge, cert, err := certificate(public, v)
		if err != nil {
			fmt.Printf("%q\n  refuses: %v\n", v.Case, err)
			continue
		}
		fmt.Printf("%q\n  challenge %q, e-mail %q, URI %v\n", v.Case, challenge, cert.EmailAddresses, cert.URIs)
		for _, e := range cert.ExtraExtensions {
			text := string(e.Value)
			if arc := e.Id[len(e.Id)-1]; arc >= 8 {
				_, _ = asn1.Unmarshal(e.Value, &text)
			}
			fmt.Printf("  %s: %s\n", e.Id, strconv.Quote(text))
		}
	}
}
