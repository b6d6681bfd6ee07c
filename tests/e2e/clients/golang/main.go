// sigstore-go: sign|verify with trust from files or from a TUF mirror. A signer's token comes from SIGSTORE_ID_TOKEN.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"
)

var (
	files    = flag.String("files", "", "directory of trusted_root.json and signing_config.v0.2.json")
	mirror   = flag.String("mirror", "", "URL of a TUF repository, instead of files")
	tufRoot  = flag.String("root", "", "the repository's first root")
	cache    = flag.String("cache", "", "where the TUF client keeps what it has seen")
	path     = flag.String("bundle", "", "the bundle")
	identity = flag.String("identity", "", "who is expected to have signed")
	issuer   = flag.String("issuer", "", "who is expected to have vouched for that")
	unlogged = flag.Bool("unlogged", false, "accept a bundle without an entry of a log of signatures")
)

func main() {
	log.SetFlags(0)
	command := os.Args[1]
	if err := flag.CommandLine.Parse(os.Args[2:]); err != nil {
		log.Fatal(err)
	}
	blob, err := os.ReadFile(flag.Arg(0))
	if err == nil {
		switch command {
		case "sign":
			err = signBlob(blob)
		case "verify":
			err = verifyBlob(blob)
		default:
			err = fmt.Errorf("unknown command %q", command)
		}
	}
	if err != nil {
		log.Fatal(err)
	}
}

func tufClient() (*tuf.Client, error) {
	first, err := os.ReadFile(*tufRoot)
	if err != nil {
		return nil, err
	}
	return tuf.New(tuf.DefaultOptions().WithRoot(first).WithRepositoryBaseURL(*mirror).WithCachePath(*cache))
}

func trustedRoot() (*root.TrustedRoot, error) {
	if *mirror == "" {
		return root.NewTrustedRootFromPath(*files + "/trusted_root.json")
	}
	client, err := tufClient()
	if err != nil {
		return nil, err
	}
	return root.GetTrustedRoot(client)
}

func signingConfig() (*root.SigningConfig, error) {
	if *mirror == "" {
		return root.NewSigningConfigFromPath(*files + "/signing_config.v0.2.json")
	}
	client, err := tufClient()
	if err != nil {
		return nil, err
	}
	return root.GetSigningConfig(client)
}

func signBlob(blob []byte) error {
	config, err := signingConfig()
	if err != nil {
		return err
	}
	options, err := services(config)
	if err != nil {
		return err
	}
	if options.TrustedRoot, err = trustedRoot(); err != nil {
		return err
	}
	keypair, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return err
	}
	signed, err := sign.Bundle(&sign.PlainData{Data: blob}, keypair, *options)
	if err != nil {
		return err
	}
	json, err := protojson.Marshal(signed)
	if err != nil {
		return err
	}
	return os.WriteFile(*path, json, 0o600)
}

func services(config *root.SigningConfig) (*sign.BundleOptions, error) {
	now := time.Now()
	options := &sign.BundleOptions{}
	ca, err := root.SelectService(config.FulcioCertificateAuthorityURLs(), sign.FulcioAPIVersions, now)
	if err != nil {
		return nil, err
	}
	options.CertificateProvider = sign.NewFulcio(&sign.FulcioOptions{BaseURL: ca.URL, Timeout: 30 * time.Second})
	options.CertificateProviderOptions = &sign.CertificateProviderOptions{IDToken: os.Getenv("SIGSTORE_ID_TOKEN")}
	authorities, err := root.SelectServices(
		config.TimestampAuthorityURLs(), config.TimestampAuthorityURLsConfig(), sign.TimestampAuthorityAPIVersions, now)
	if err != nil {
		return nil, err
	}
	for _, authority := range authorities {
		options.TimestampAuthorities = append(options.TimestampAuthorities,
			sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: authority.URL, Timeout: 30 * time.Second}))
	}
	logs, err := root.SelectServices(config.RekorLogURLs(), config.RekorLogURLsConfig(), sign.RekorAPIVersions, now)
	if err != nil {
		return nil, err
	}
	for _, one := range logs {
		options.TransparencyLogs = append(options.TransparencyLogs,
			sign.NewRekor(&sign.RekorOptions{BaseURL: one.URL, Timeout: 30 * time.Second, Version: one.MajorAPIVersion}))
	}
	return options, nil
}

func verifyBlob(blob []byte) error {
	trusted, err := trustedRoot()
	if err != nil {
		return err
	}
	signed, err := bundle.LoadJSONFromPath(*path)
	if err != nil {
		return err
	}
	options := []verify.VerifierOption{verify.WithSignedCertificateTimestamps(1), verify.WithSignedTimestamps(1)}
	if !*unlogged {
		options = append(options, verify.WithTransparencyLog(1))
	}
	verifier, err := verify.NewVerifier(trusted, options...)
	if err != nil {
		return err
	}
	expected, err := verify.NewShortCertificateIdentity(*issuer, "", *identity, "")
	if err != nil {
		return err
	}
	policy := verify.NewPolicy(verify.WithArtifact(bytes.NewReader(blob)), verify.WithCertificateIdentity(expected))
	_, err = verifier.Verify(signed, policy)
	return err
}
