// Writes ct.json, the bytes of a small log by other hands. In an empty module, with golang.org/x/mod v0.37.0,
// github.com/google/certificate-transparency-go v1.3.3 and github.com/transparency-dev/formats v0.1.1:
// go run ct.go > ct.json
package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	stdx509 "crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"strings"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/tls"
	"github.com/google/certificate-transparency-go/x509"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	origin    = "ct.example.com/2026h2"
	timestamp = 1_795_000_000_123
	leaves    = 70_000
)

var logKey = func() *ecdsa.PrivateKey {
	scalar := sha256.Sum256([]byte("log key"))
	key := &ecdsa.PrivateKey{D: new(big.Int).SetBytes(scalar[:])}
	key.Curve = elliptic.P256()
	key.X, key.Y = key.Curve.ScalarBaseMult(scalar[:])
	return key
}()

var noteKey = func() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("note key"))
	return ed25519.NewKeyFromSeed(seed[:])
}()

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// ---- Trees: leaf i is i in decimal ----

type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var found []tlog.Hash
	for _, index := range indexes {
		found = append(found, h[index])
	}
	return found, nil
}

func grow() hashes {
	var stored hashes
	for i := int64(0); i < leaves; i++ {
		stored = append(stored, must(tlog.StoredHashes(i, fmt.Append(nil, i), stored))...)
	}
	return stored
}

type treeProof struct {
	Start int64    `json:"start"` // the leaf's index, or the old size
	Size  int64    `json:"size"`
	Proof []string `json:"proof"`
}

func texts(proof []tlog.Hash) []string {
	found := []string{}
	for _, hash := range proof {
		found = append(found, hex.EncodeToString(hash[:]))
	}
	return found
}

var sizes = []int64{1, 2, 3, 7, 8, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, leaves}

func trees(stored hashes) map[string]any {
	roots := map[string]string{}
	var inclusion, consistency []treeProof
	for _, size := range append([]int64{0}, sizes...) {
		root := must(tlog.TreeHash(size, stored))
		roots[fmt.Sprint(size)] = hex.EncodeToString(root[:])
	}
	for _, size := range sizes {
		for _, start := range []int64{0, 6, 100, 256, 511, 65_535, 65_536, size - 1} {
			if start < size {
				inclusion = append(inclusion, treeProof{start, size, texts(must(tlog.ProveRecord(size, start, stored)))})
			}
			if 0 < start && start < size {
				consistency = append(consistency, treeProof{start, size, texts(must(tlog.ProveTree(size, start, stored)))})
			}
		}
	}
	return map[string]any{"roots": roots, "inclusion": inclusion, "consistency": consistency}
}

type tilePath struct {
	Kind  string `json:"kind"`
	Level int    `json:"level"`
	Index int64  `json:"index"`
	Width int    `json:"width"`
	Path  string `json:"path"`
}

func tilePaths() []tilePath {
	var found []tilePath
	for _, level := range []int{-1, 0, 1, 5} {
		for _, index := range []int64{0, 7, 999, 1000, 1_234_067, 16_777_215, 1<<32 - 1} {
			for _, width := range []int{1, 99, 255, 256} {
				if level > 0 && index<<8>>(40-8*level) != 0 { // beyond leaf 2^40
					continue
				}
				// Its paths begin with the height of tiles, here always 8.
				path := strings.Replace(tlog.Tile{H: 8, L: level, N: index, W: width}.Path(), "tile/8/", "tile/", 1)
				kind := "hash"
				if level < 0 {
					kind = "data"
				}
				found = append(found, tilePath{kind, max(level, 0), index, width, path})
			}
		}
	}
	return found
}

// ---- Entries ----

// static-ct-api's TileLeaf: these after the TimestampedEntry.
type x509Rest struct {
	Chain []byte `tls:"minlen:0,maxlen:65535"`
}
type precertRest struct {
	Precertificate ct.ASN1Cert
	Chain          []byte `tls:"minlen:0,maxlen:65535"`
}

func filler(name string, length int) []byte {
	digest := sha256.Sum256([]byte(name))
	return bytes.Repeat(digest[:], length/32+1)[:length]
}

func leafIndexExtension(index uint64) []byte {
	return append([]byte{0, 0, 5}, binary.BigEndian.AppendUint64(nil, index)[3:]...)
}

func logID() [32]byte {
	return sha256.Sum256(must(stdx509.MarshalPKIXPublicKey(logKey.Public())))
}

func sign(message []byte) ct.DigitallySigned {
	digest := sha256.Sum256(message)
	return ct.DigitallySigned{
		Algorithm: tls.SignatureAndHashAlgorithm{Hash: tls.SHA256, Signature: tls.ECDSA},
		Signature: must(logKey.Sign(nil, digest[:], crypto.SHA256)), // no randomness: RFC 6979
	}
}

func entry(isPrecert bool, index uint64) map[string]any {
	certificate, precertificate, issuerKeyHash := filler("certificate", 300), filler("precertificate", 700), sha256.Sum256([]byte("issuer"))
	chain := []ct.ASN1Cert{{Data: filler("issuing", 400)}, {Data: filler("root", 500)}}
	var fingerprints []byte
	var ders []string
	for _, der := range chain {
		digest := sha256.Sum256(der.Data)
		fingerprints = append(fingerprints, digest[:]...)
		ders = append(ders, hex.EncodeToString(der.Data))
	}
	timestamped := ct.TimestampedEntry{Timestamp: timestamp, Extensions: leafIndexExtension(index)}
	var rest, extra []byte
	vector := map[string]any{"timestamp": uint64(timestamp), "leaf_index": index, "is_precert": isPrecert,
		"certificate": hex.EncodeToString(certificate), "chain": ders}
	if isPrecert {
		vector["issuer_key_hash"] = hex.EncodeToString(issuerKeyHash[:])
		vector["precertificate"] = hex.EncodeToString(precertificate)
		timestamped.EntryType = ct.PrecertLogEntryType
		timestamped.PrecertEntry = &ct.PreCert{IssuerKeyHash: issuerKeyHash, TBSCertificate: certificate}
		rest = must(tls.Marshal(precertRest{ct.ASN1Cert{Data: precertificate}, fingerprints}))
		extra = must(tls.Marshal(ct.PrecertChainEntry{PreCertificate: ct.ASN1Cert{Data: precertificate}, CertificateChain: chain}))
	} else {
		timestamped.EntryType = ct.X509LogEntryType
		timestamped.X509Entry = &ct.ASN1Cert{Data: certificate}
		rest = must(tls.Marshal(x509Rest{fingerprints}))
		extra = must(tls.Marshal(ct.CertificateChain{Entries: chain}))
	}
	leaf := ct.MerkleTreeLeaf{Version: ct.V1, LeafType: ct.TimestampedEntryLeafType, TimestampedEntry: &timestamped}
	leafHash := must(ct.LeafHashForLeaf(&leaf))
	sct := ct.SignedCertificateTimestamp{SCTVersion: ct.V1, LogID: ct.LogID{KeyID: logID()}, Timestamp: timestamp, Extensions: timestamped.Extensions}
	input := must(ct.SerializeSCTSignatureInput(sct, ct.LogEntry{Leaf: leaf}))
	sct.Signature = sign(input)
	encoded := must(tls.Marshal(sct))
	for name, value := range map[string][]byte{
		"merkle_tree_leaf": must(tls.Marshal(leaf)),
		"leaf_hash":        leafHash[:],
		"tile_leaf":        append(must(tls.Marshal(timestamped)), rest...),
		"extra_data":       extra,
		"sct_input":        input,
		"sct":              encoded,
		"sct_list":         must(tls.Marshal(x509.SignedCertificateTimestampList{SCTList: []x509.SerializedSCT{{Val: encoded}}})),
	} {
		vector[name] = hex.EncodeToString(value)
	}
	return vector
}

// ---- Checkpoints ----

type logSigner struct{ sth ct.SignedTreeHead }

func (logSigner) Name() string { return origin }
func (logSigner) KeyHash() uint32 {
	id := logID()
	digest := sha256.Sum256(append([]byte(origin+"\n\x05"), id[:]...))
	return binary.BigEndian.Uint32(digest[:])
}
func (s logSigner) Sign([]byte) ([]byte, error) {
	signed := must(tls.Marshal(sign(must(ct.SerializeSTHSignatureInput(s.sth)))))
	return append(binary.BigEndian.AppendUint64(nil, s.sth.Timestamp), signed...), nil
}

func checkpoint(stored hashes, size int64) (string, map[string]any) {
	root := must(tlog.TreeHash(size, stored))
	sth := ct.SignedTreeHead{Version: ct.V1, TreeSize: uint64(size), Timestamp: timestamp, SHA256RootHash: ct.SHA256Hash(root)}
	vkey := must(note.NewEd25519VerifierKey(origin, noteKey.Public().(ed25519.PublicKey)))
	verifier := must(note.NewVerifier(vkey))
	skey := fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", origin, verifier.KeyHash(), base64.StdEncoding.EncodeToString(append([]byte{1}, noteKey.Seed()...)))
	body := fmt.Sprintf("%s\n%d\n%s\n", origin, size, root)
	signed := must(note.Sign(&note.Note{Text: body}, logSigner{sth}, must(note.NewSigner(skey))))
	must(note.Open(signed, note.VerifierList(verifier)))
	return string(signed), map[string]any{
		"origin": origin, "size": size, "root": hex.EncodeToString(root[:]), "timestamp": uint64(timestamp),
		"sth_input":   hex.EncodeToString(must(ct.SerializeSTHSignatureInput(sth))),
		"log_key_id":  fmt.Sprintf("%08x", logSigner{}.KeyHash()),
		"note_key_id": fmt.Sprintf("%08x", verifier.KeyHash()),
		"vkey":        vkey,
		"signed":      string(signed),
	}
}

func tlogProof(stored hashes, index, size int64, checkpoint string, extra []byte) map[string]any {
	path := must(tlog.ProveRecord(size, index, stored))
	offline := proof.TLogProof{Index: uint64(index), Checkpoint: []byte(checkpoint), ExtraData: extra}
	for _, hash := range path {
		offline.Hashes = append(offline.Hashes, hash)
	}
	return map[string]any{"index": index, "extra": hex.EncodeToString(extra), "proof": texts(path), "text": string(offline.Marshal())}
}

func pemOf(key any) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(stdx509.MarshalPKCS8PrivateKey(key))}))
}

func main() {
	stored := grow()
	signed, head := checkpoint(stored, 257)
	_, empty := checkpoint(stored, 0)
	output := json.NewEncoder(os.Stdout)
	output.SetIndent("", " ")
	output.SetEscapeHTML(false)
	must(0, output.Encode(map[string]any{
		"log_key":     pemOf(logKey),
		"note_key":    pemOf(noteKey),
		"tree":        trees(stored),
		"tile_paths":  tilePaths(),
		"entries":     []any{entry(false, 0), entry(true, 1<<40-1), entry(true, 70_001)},
		"checkpoints": []any{head, empty},
		"tlog_proofs": []any{
			tlogProof(stored, 256, 257, signed, nil),
			tlogProof(stored, 100, 257, signed, []byte("for the application")),
		},
	}))
}
