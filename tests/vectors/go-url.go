// Recomputes go-url.json: go run go-url.go < go-url.json
package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
)

type vector struct {
	URL      string   `json:"url"`
	Join     []string `json:"join,omitempty"`
	Text     *string  `json:"text,omitempty"`
	Error    string   `json:"error,omitempty"`
	Userinfo bool     `json:"userinfo,omitempty"`
	Hostname string   `json:"hostname,omitempty"`
}

func compute(v vector) vector {
	v = vector{URL: v.URL, Join: v.Join}
	u, err := url.Parse(v.URL)
	var text string
	switch {
	case err != nil:
	case v.Join != nil:
		text, err = url.JoinPath(v.URL, v.Join...)
	default:
		text, v.Userinfo, v.Hostname = u.String(), u.User != nil, u.Hostname()
	}
	if err != nil {
		v.Error = err.Error()
	} else {
		v.Text = &text
	}
	return v
}

func main() {
	var vectors []vector
	if err := json.NewDecoder(os.Stdin).Decode(&vectors); err != nil {
		panic(err)
	}
	separator := "[\n"
	for _, v := range vectors {
		line, _ := json.Marshal(compute(v))
		fmt.Printf("%s%s", separator, line)
		separator = ",\n"
	}
	fmt.Println("\n]")
}
