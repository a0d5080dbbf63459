package orderflow

import (
	"context"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	optionsv1 "orderflow.example/go/gen/orderflow/options/v1"
	userv1 "orderflow.example/go/gen/orderflow/user/v1"
)

const (
	// renewAfter is how much of a token's life passes before it is renewed.
	renewAfter = 0.8
	// renewAgain is how long to leave it after a renewal that failed, while the old token is still good.
	renewAgain = 5 * time.Second
)

// wallClock also counts the time in which the computer slept, which a monotonic clock may not.
func wallClock() time.Time { return time.Now().Round(0) }

// session puts a token on the calls that need one. It does so by interceptors, since of per-RPC credentials gRPC turns some
// errors into INTERNAL, which of an order would mean that it may exist.
type session struct {
	login func(context.Context, *userv1.LoginRequest, ...grpc.CallOption) (*userv1.LoginResponse, error)
	now   func() time.Time

	mu          sync.Mutex
	credentials *userv1.LoginRequest
	token       *token
	renewal     *renewal
}

type token struct {
	value              string
	renewAt, expiresAt time.Time
}

// renewal is one login, however many calls wait for it.
type renewal struct {
	done  chan struct{}
	token *token
	err   error
}

func (s *session) signIn(ctx context.Context, credentials *userv1.LoginRequest) error {
	token, err := s.fetch(ctx, credentials)
	if err == nil {
		s.set(credentials, token)
	}
	return err
}

func (s *session) signOut() { s.set(nil, nil) }

func (s *session) set(credentials *userv1.LoginRequest, token *token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.credentials, s.token, s.renewal = credentials, token, nil
}

// current is the token to send now; nil when nobody is signed in.
func (s *session) current(ctx context.Context) (*token, error) {
	s.mu.Lock()
	token, now := s.token, s.now()
	if s.credentials == nil || token != nil && now.Before(token.renewAt) {
		s.mu.Unlock()
		return token, nil
	}
	renewal := s.renew()
	stillGood := token != nil && now.Before(token.expiresAt)
	s.mu.Unlock()
	// As long as the old one is good nobody waits, and nobody is bothered when there is no new one yet.
	if stillGood {
		return token, nil
	}
	select {
	case <-renewal.done:
		return renewal.token, renewal.err
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// renew is called with the lock held.
func (s *session) renew() *renewal {
	if s.renewal != nil {
		return s.renewal
	}
	renewal, credentials := &renewal{done: make(chan struct{})}, s.credentials
	s.renewal = renewal
	go func() {
		defer close(renewal.done)
		// Not with the context of the call that came first: others wait, too.
		renewal.token, renewal.err = s.fetch(context.Background(), credentials)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.renewal != renewal {
			return // Somebody has signed in or out.
		}
		s.renewal = nil
		if renewal.err == nil {
			s.token = renewal.token
		} else if s.token != nil {
			s.token.renewAt = s.now().Add(renewAgain)
		}
	}()
	return renewal
}

func (s *session) fetch(ctx context.Context, credentials *userv1.LoginRequest) (*token, error) {
	// Its life is counted from before the question: it can only be longer.
	asked := s.now()
	reply, err := s.login(ctx, credentials)
	if err != nil {
		return nil, err
	}
	life := time.Duration(reply.GetExpiresIn()) * time.Second
	return &token{
		value:     reply.GetAccessToken(),
		renewAt:   asked.Add(time.Duration(renewAfter * float64(life))),
		expiresAt: asked.Add(life),
	}, nil
}

// heed looks at how a call with this token ended: one that the server does not take, whatever the clock says, is not sent again.
func (s *session) heed(token *token, err error) {
	if token == nil || status.Code(err) != codes.Unauthenticated {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == token {
		s.token = nil
	}
}

func (s *session) authorize(ctx context.Context, method string) (context.Context, *token, error) {
	if !needsToken(method) {
		return ctx, nil, nil
	}
	token, err := s.current(ctx)
	if err != nil || token == nil {
		return ctx, nil, err
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token.value), token, nil
}

func (s *session) unary(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	ctx, token, err := s.authorize(ctx, method)
	if err != nil {
		return err
	}
	err = invoke(ctx, method, request, reply, conn, options...)
	s.heed(token, err)
	return err
}

func (s *session) stream(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	ctx, token, err := s.authorize(ctx, method)
	if err != nil {
		return nil, err
	}
	stream, err := open(ctx, desc, conn, method, options...)
	if err != nil {
		return nil, err
	}
	return heeded{stream, s, token}, nil
}

type heeded struct {
	grpc.ClientStream
	session *session
	token   *token
}

func (h heeded) RecvMsg(message any) error {
	err := h.ClientStream.RecvMsg(message)
	h.session.heed(h.token, err)
	return err
}

// needsToken says whether a method wants to know who calls, as the contract says of each.
func needsToken(method string) bool {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", "."))
	descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return false
	}
	auth, _ := proto.GetExtension(descriptor.Options(), optionsv1.E_Auth).(*optionsv1.Auth)
	switch auth.GetAccess() {
	case optionsv1.Access_ACCESS_USER, optionsv1.Access_ACCESS_ROLE:
		return true
	default:
		return false
	}
}
