// The run in Go: a goroutine for each end of each connection.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
)

var (
	mutex   sync.Mutex
	waiters []chan int
)

// handle answers one request: /wait, /notify, or how many wait.
func handle(connection net.Conn) {
	defer connection.Close()
	reader := bufio.NewReader(connection)
	request, err := reader.ReadString('\n')
	for line := request; err == nil && line != "\r\n"; {
		line, err = reader.ReadString('\n')
	}
	if err != nil {
		log.Fatal(err)
	}
	var n int
	switch strings.Fields(request)[1] {
	case "/wait":
		told := make(chan int)
		mutex.Lock()
		waiters = append(waiters, told)
		mutex.Unlock()
		n = <-told
	case "/notify":
		mutex.Lock()
		all := waiters
		waiters = nil
		mutex.Unlock()
		n = len(all)
		for _, told := range all {
			told <- n
		}
	default:
		mutex.Lock()
		n = len(waiters)
		mutex.Unlock()
	}
	fmt.Fprintf(connection,
		"HTTP/1.0 200 OK\r\nContent-type: text/plain\r\n\r\n%d", n)
}

func connect(address string) net.Conn {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	return connection
}

// ask sends one request and returns the number that is the answer.
func ask(connection net.Conn, path string) int {
	defer connection.Close()
	fmt.Fprintf(connection, "GET %s HTTP/1.0\r\n\r\n", path)
	response, err := io.ReadAll(connection)
	if err != nil {
		log.Fatal(err)
	}
	head, body, _ := strings.Cut(string(response), "\r\n\r\n")
	n, err := strconv.Atoi(body)
	if err != nil || !strings.HasPrefix(head, "HTTP/1.0 200 ") {
		log.Fatalf("not a good response: %q", response)
	}
	return n
}

func main() {
	n, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				log.Fatal(err)
			}
			go handle(connection)
		}
	}()

	address := listener.Addr().String()
	var clients sync.WaitGroup
	for i := 0; i < n; i++ {
		connection := connect(address)
		clients.Add(1)
		go func() {
			defer clients.Done()
			if told := ask(connection, "/wait"); told != n {
				log.Fatalf("a client was told %d", told)
			}
		}()
	}
	for ask(connect(address), "/") != n {
	}
	if told := ask(connect(address), "/notify"); told != n {
		log.Fatalf("/notify told %d", told)
	}
	clients.Wait()
	for ask(connect(address), "/") != 0 {
	}
	fmt.Println("done", n)
}
