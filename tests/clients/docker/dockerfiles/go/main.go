package main

import (
	"fmt"
	"net/http"
)

var version string

func main() {
	http.HandleFunc("/", func(answer http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(answer, "served by go", version)
	})
	http.ListenAndServe(":8000", nil)
}
