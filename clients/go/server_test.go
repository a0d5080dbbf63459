package orderflow

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	catalogv1 "orderflow.example/go/gen/orderflow/catalog/v1"
	orderv1 "orderflow.example/go/gen/orderflow/order/v1"
	userv1 "orderflow.example/go/gen/orderflow/user/v1"
)

// server is a gRPC server to test the client with: it does what a test tells it, and notes what comes.
type server struct {
	userv1.UnimplementedUserServiceServer
	catalogv1.UnimplementedCatalogServiceServer
	orderv1.UnimplementedOrderServiceServer

	address     string
	createOrder func(context.Context, *orderv1.CreateOrderRequest) (*orderv1.CreateOrderResponse, error)
	getMe       func(context.Context) error
	watch       func(grpc.ServerStreamingServer[orderv1.WatchOrdersResponse]) error

	mu     sync.Mutex
	logins int
	sent   []string // method and authorization of each call
}

func serve(t *testing.T) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{address: "http://" + listener.Addr().String()}
	note := func(ctx context.Context, method string) {
		md, _ := metadata.FromIncomingContext(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sent = append(s.sent, fmt.Sprint(method, " ", md.Get("authorization")))
	}
	grpcServer := grpc.NewServer(
		grpc.UnaryInterceptor(func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			note(ctx, info.FullMethod)
			return handle(ctx, request)
		}),
		grpc.StreamInterceptor(func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			note(stream.Context(), info.FullMethod)
			return handle(server, stream)
		}),
	)
	userv1.RegisterUserServiceServer(grpcServer, s)
	catalogv1.RegisterCatalogServiceServer(grpcServer, s)
	orderv1.RegisterOrderServiceServer(grpcServer, s)
	go grpcServer.Serve(listener)
	t.Cleanup(grpcServer.Stop)
	return s
}

// client is signed in.
func (s *server) client(t *testing.T, repeat repeat) *Client {
	t.Helper()
	client, err := connect(s.address, repeat)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if err := client.SignIn(t.Context(), "ada@example.com", "correct horse"); err != nil {
		t.Fatal(err)
	}
	return client
}

func (s *server) calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.sent...)
}

func (s *server) Login(_ context.Context, request *userv1.LoginRequest) (*userv1.LoginResponse, error) {
	if request.GetEmail() != "ada@example.com" || request.GetPassword() != "correct horse" {
		return nil, status.Error(codes.Unauthenticated, "no")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins++
	return &userv1.LoginResponse{AccessToken: fmt.Sprint("token-", s.logins), TokenType: "bearer", ExpiresIn: 100}, nil
}

func (s *server) GetMe(ctx context.Context, _ *userv1.GetMeRequest) (*userv1.GetMeResponse, error) {
	if s.getMe != nil {
		return &userv1.GetMeResponse{}, s.getMe(ctx)
	}
	return &userv1.GetMeResponse{}, nil
}

// CreateProduct returns the price and the stock as they came.
func (s *server) CreateProduct(_ context.Context, request *catalogv1.CreateProductRequest) (*catalogv1.CreateProductResponse, error) {
	return &catalogv1.CreateProductResponse{Product: &catalogv1.Product{Price: request.GetPrice(), Stock: request.GetStock()}}, nil
}

func (s *server) ListProducts(context.Context, *catalogv1.ListProductsRequest) (*catalogv1.ListProductsResponse, error) {
	return &catalogv1.ListProductsResponse{}, nil
}

func (s *server) CreateOrder(ctx context.Context, request *orderv1.CreateOrderRequest) (*orderv1.CreateOrderResponse, error) {
	return s.createOrder(ctx, request)
}

func (s *server) WatchOrders(_ *orderv1.WatchOrdersRequest, stream grpc.ServerStreamingServer[orderv1.WatchOrdersResponse]) error {
	if err := stream.Send(&orderv1.WatchOrdersResponse{ResumeToken: "here"}); err != nil || s.watch == nil {
		return err
	}
	return s.watch(stream)
}
