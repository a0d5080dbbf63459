// Package orderflow calls an OrderFlow gateway: the generated clients, with what every caller needs around them. Calls have
// deadlines and tokens, and what takes a request id is sent again under the same one until its outcome is known.
package orderflow

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	catalogv1 "orderflow.example/go/gen/orderflow/catalog/v1"
	orderv1 "orderflow.example/go/gen/orderflow/order/v1"
	userv1 "orderflow.example/go/gen/orderflow/user/v1"
)

// timeout is how long a unary call may take whose context has no deadline. Streams have none but their own.
const timeout = 10 * time.Second

// Client is one user's way to the gateway, or nobody's before SignIn. It is safe for concurrent use.
type Client struct {
	Users   userv1.UserServiceClient
	Catalog catalogv1.CatalogServiceClient
	Orders  orderv1.OrderServiceClient

	conn    *grpc.ClientConn
	session *session
}

// Connect takes the gateway's address as http://127.0.0.1:8080 or https://shop.example. The connection is made when it is
// first needed, and again when it broke. Options come behind those set here: interceptors are nearer to the network.
func Connect(address string, options ...grpc.DialOption) (*Client, error) {
	return connect(address, defaultRepeat, options...)
}

func connect(address string, repeat repeat, options ...grpc.DialOption) (*Client, error) {
	target, transport, err := parse(address)
	if err != nil {
		return nil, err
	}
	session := &session{now: wallClock}
	options = append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		// Finds out that the other side is gone, while a watch is silent, say.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithChainUnaryInterceptor(repeat.unary, withDeadline, session.unary),
		grpc.WithChainStreamInterceptor(session.stream),
	}, options...)
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, err
	}
	client := &Client{
		Users:   userv1.NewUserServiceClient(conn),
		Catalog: catalogv1.NewCatalogServiceClient(conn),
		Orders:  orderv1.NewOrderServiceClient(conn),
		conn:    conn,
		session: session,
	}
	session.login = client.Users.Login
	return client, nil
}

// SignIn logs in, and from then on does so again before the token expires: there are no refresh tokens, so the password is
// kept, in memory only.
func (c *Client) SignIn(ctx context.Context, email, password string) error {
	return c.session.signIn(ctx, &userv1.LoginRequest{Email: email, Password: password})
}

// SignOut forgets the token and the password.
func (c *Client) SignOut() { c.session.signOut() }

// Close ends all calls.
func (c *Client) Close() error { return c.conn.Close() }

func parse(address string) (target string, transport credentials.TransportCredentials, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", nil, err
	}
	port := u.Port()
	switch u.Scheme {
	case "http":
		transport, port = insecure.NewCredentials(), or(port, "80")
	case "https":
		transport, port = credentials.NewTLS(nil), or(port, "443")
	}
	if transport == nil || u.Hostname() == "" {
		return "", nil, fmt.Errorf("%q is not an address like http://127.0.0.1:8080", address)
	}
	return "dns:///" + net.JoinHostPort(u.Hostname(), port), transport, nil
}

func or(port, standard string) string {
	if port == "" {
		return standard
	}
	return port
}

func withDeadline(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	ctx, cancel := within(ctx, timeout)
	defer cancel()
	return invoke(ctx, method, request, reply, conn, options...)
}

// within sets a deadline where there is none.
func within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}
