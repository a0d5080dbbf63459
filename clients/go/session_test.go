package orderflow

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	catalogv1 "orderflow.example/go/gen/orderflow/catalog/v1"
	orderv1 "orderflow.example/go/gen/orderflow/order/v1"
	userv1 "orderflow.example/go/gen/orderflow/user/v1"
)

func getMe(t *testing.T, client *Client) error {
	t.Helper()
	_, err := client.Users.GetMe(t.Context(), &userv1.GetMeRequest{})
	return err
}

// watchToEnd reads until the server ends the stream, and returns its error.
func watchToEnd(t *testing.T, client *Client) error {
	t.Helper()
	stream, err := client.Orders.WatchOrders(t.Context(), &orderv1.WatchOrdersRequest{})
	for err == nil {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func TestTokenGoesWithTheCallsThatNeedOne(t *testing.T) {
	s := serve(t)
	client := s.client(t, defaultRepeat)
	if err := errors.Join(getMe(t, client), watchToEnd(t, client)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Catalog.ListProducts(t.Context(), &catalogv1.ListProductsRequest{}); err != nil {
		t.Fatal(err)
	}
	client.SignOut()
	if err := getMe(t, client); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"/orderflow.user.v1.UserService/Login []",
		"/orderflow.user.v1.UserService/GetMe [Bearer token-1]",
		"/orderflow.order.v1.OrderService/WatchOrders [Bearer token-1]",
		"/orderflow.catalog.v1.CatalogService/ListProducts []",
		"/orderflow.user.v1.UserService/GetMe []",
	}
	if calls := s.calls(); !slices.Equal(calls, want) {
		t.Errorf("sent %q, not %q", calls, want)
	}
}

func TestTokenIsRenewedBeforeItExpires(t *testing.T) {
	s := serve(t)
	client := s.client(t, defaultRepeat)
	start := time.Now()
	var passed atomic.Int64
	client.session.now = func() time.Time { return start.Add(time.Duration(passed.Load())) }
	client.SignIn(t.Context(), "ada@example.com", "correct horse") // token-2, by this clock

	used := func() string {
		t.Helper()
		if err := getMe(t, client); err != nil {
			t.Fatal(err)
		}
		return s.calls()[len(s.calls())-1]
	}
	passed.Store(int64(79 * time.Second))
	if call := used(); !strings.Contains(call, "token-2") {
		t.Errorf("at 79 of 100 s: %s", call)
	}
	// The old one is good enough for the call that has the new one fetched.
	passed.Store(int64(81 * time.Second))
	token, err := client.session.current(t.Context())
	if err != nil || token.value != "token-2" {
		t.Errorf("at 81 of 100 s: %v, %v", token, err)
	}
	client.session.mu.Lock()
	renewal := client.session.renewal
	client.session.mu.Unlock()
	if renewal != nil {
		<-renewal.done
	}
	if call := used(); !strings.Contains(call, "token-3") {
		t.Errorf("after the renewal: %s", call)
	}
	// Once it has expired, the call waits for the new one.
	passed.Store(int64(200 * time.Second))
	if call := used(); !strings.Contains(call, "token-4") {
		t.Errorf("at 119 of 100 s: %s", call)
	}
}

func TestTokenThatIsNotTakenIsNotSentAgain(t *testing.T) {
	for name, call := range map[string]func(*testing.T, *Client) error{"unary": getMe, "stream": watchToEnd} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			client := s.client(t, defaultRepeat)
			refusal := status.Error(codes.Unauthenticated, "no")
			s.getMe = func(context.Context) error { return refusal }
			s.watch = func(grpc.ServerStreamingServer[orderv1.WatchOrdersResponse]) error { return refusal }
			if err := call(t, client); status.Code(err) != codes.Unauthenticated {
				t.Fatal(err)
			}
			s.getMe = nil
			if err := getMe(t, client); err != nil {
				t.Fatal(err)
			}
			calls := s.calls()
			if last := calls[len(calls)-1]; last != "/orderflow.user.v1.UserService/GetMe [Bearer token-2]" {
				t.Error(last)
			}
		})
	}
}

func TestSignInSaysWhatIsWrong(t *testing.T) {
	s := serve(t)
	client := s.client(t, defaultRepeat)
	if err := client.SignIn(t.Context(), "ada@example.com", "wrong"); status.Code(err) != codes.Unauthenticated {
		t.Errorf("%v", err)
	}
	// Who was signed in before still is.
	if err := getMe(t, client); err != nil {
		t.Error(err)
	}
}
