// Prints what Fulcio's HTTP gateway makes of a request body, for protojson.json.
//
// Reads one {"API": "v1" or "v2", "Body": base64} per line; prints the error, or the fields in base64. To run it: an
// empty module that requires github.com/sigstore/fulcio v1.8.8 at the versions of Fulcio's own go.mod.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	v2 "github.com/sigstore/fulcio/pkg/generated/protobuf"
	v1 "github.com/sigstore/fulcio/pkg/generated/protobuf/legacy"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

type out struct {
	Error string  `json:"error,omitempty"`
	Token *string `json:"token,omitempty"`
	CSR   *string `json:"csr,omitempty"`
	Key   *string `json:"key,omitempty"`
	Proof *string `json:"proof,omitempty"`
}

func b64(b []byte) *string { s := base64.StdEncoding.EncodeToString(b); return &s }

func main() {
	m := &runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{EmitUnpopulated: true}, UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: true}}
	sc := bufio.NewScanner(os.Stdin)
	sc.Buffer(make([]byte, 1<<24), 1<<24)
	for sc.Scan() {
		var in struct {
			API  string
			Body []byte
		}
		if err := json.Unmarshal(sc.Bytes(), &in); err != nil {
			panic(err)
		}
		var o out
		var p proto.Message
		a, b := &v2.CreateSigningCertificateRequest{}, &v1.CreateSigningCertificateRequest{}
		if in.API == "v2" {
			p = a
		} else {
			p = b
		}
		err := m.NewDecoder(bytes.NewReader(in.Body)).Decode(p)
		if err != nil && !errors.Is(err, io.EOF) {
			o.Error = strings.ReplaceAll(err.Error(), "\u00a0", " ")
		} else if in.API == "v2" {
			o.Token = b64([]byte(a.GetCredentials().GetOidcIdentityToken()))
			o.CSR = b64(a.GetCertificateSigningRequest())
			o.Key = b64([]byte(a.GetPublicKeyRequest().GetPublicKey().GetContent()))
			o.Proof = b64(a.GetPublicKeyRequest().GetProofOfPossession())
		} else {
			o.CSR = b64(b.GetCertificateSigningRequest())
			o.Key = b64(b.GetPublicKey().GetContent())
			o.Proof = b64(b.GetSignedEmailAddress())
		}
		j, _ := json.Marshal(o)
		fmt.Println(string(j))
	}
}
