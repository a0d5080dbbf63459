package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	orderflow "orderflow.example/go"
	catalogv1 "orderflow.example/go/gen/orderflow/catalog/v1"
	orderv1 "orderflow.example/go/gen/orderflow/order/v1"
	userv1 "orderflow.example/go/gen/orderflow/user/v1"
)

// step is what flow.json says of one; what it expects is for others to compare.
type step struct {
	Step      string          `json:"step"`
	Request   json.RawMessage `json:"request"`
	Names     string          `json:"names"`
	TimeoutMS int             `json:"timeout_ms"`
}

// story is what the steps have in common.
type story struct {
	variables             map[string]string
	nobody, seller, buyer *orderflow.Client
	network               *network
	watch                 grpc.ServerStreamingClient[orderv1.WatchOrdersResponse]
	leave                 context.CancelFunc
}

func begin(address string) (*story, error) {
	run := make([]byte, 8)
	rand.Read(run)
	s := &story{variables: map[string]string{"run": hex.EncodeToString(run)}, network: &network{}}
	for client, options := range map[**orderflow.Client][]grpc.DialOption{
		&s.nobody: nil,
		&s.seller: nil,
		&s.buyer:  {grpc.WithChainUnaryInterceptor(s.network.unary)},
	} {
		var err error
		if *client, err = orderflow.Connect(address, options...); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *story) end() {
	for _, client := range []*orderflow.Client{s.nobody, s.seller, s.buyer} {
		client.Close()
	}
}

type tell func(context.Context, step) (any, error)

func (s *story) steps() map[string]tell {
	return map[string]tell{
		"register-seller":    s.register(s.seller),
		"register-buyer":     s.register(s.buyer),
		"login":              s.login,
		"no-token":           s.getMe(s.nobody),
		"get-me":             s.getMe(s.buyer),
		"create-glass":       s.createProduct,
		"create-samovar":     s.createProduct,
		"create-garden":      s.createProduct,
		"list-products":      s.listProducts,
		"bad-order":          s.createOrder,
		"refused-order":      s.createOrder,
		"watch-opens":        s.watchOpens,
		"create-order":       s.createOrderTwice,
		"create-large-order": s.createOrder,
		"ship-order":         s.shipOrder,
		"watch-tells":        s.watchTells,
		"list-orders":        s.listOrders,
		"order-stats":        s.orderStats,
		"cancel-refused":     s.cancelOrder,
		"idle-watch":         s.idleWatch,
	}
}

// read makes the step's request from its JSON.
func read[M proto.Message](s *story, step step, request M) (M, error) {
	text := string(step.Request)
	for name, value := range s.variables {
		text = strings.ReplaceAll(text, "$"+name, value)
	}
	return request, protojson.Unmarshal([]byte(text), request)
}

func (s *story) name(step step, id string) {
	if step.Names != "" {
		s.variables[step.Names] = id
	}
}

func (s *story) register(client *orderflow.Client) tell {
	return func(ctx context.Context, step step) (any, error) {
		request, err := read(s, step, &userv1.RegisterRequest{})
		if err != nil {
			return nil, err
		}
		reply, err := s.nobody.Users.Register(ctx, request)
		if err != nil {
			return nil, err
		}
		s.name(step, reply.GetUser().GetId())
		return userOf(reply.GetUser()), client.SignIn(ctx, request.GetEmail(), request.GetPassword())
	}
}

func (s *story) login(ctx context.Context, step step) (any, error) {
	request, err := read(s, step, &userv1.LoginRequest{})
	if err != nil {
		return nil, err
	}
	reply, err := s.nobody.Users.Login(ctx, request)
	if err != nil {
		return nil, err
	}
	return struct {
		TokenType string `json:"token_type"`
	}{reply.GetTokenType()}, nil
}

func (s *story) getMe(client *orderflow.Client) tell {
	return func(ctx context.Context, step step) (any, error) {
		reply, err := client.Users.GetMe(ctx, &userv1.GetMeRequest{})
		if err != nil {
			return nil, err
		}
		return userOf(reply.GetUser()), nil
	}
}

func (s *story) createProduct(ctx context.Context, step step) (any, error) {
	request, err := read(s, step, &catalogv1.CreateProductRequest{})
	if err != nil {
		return nil, err
	}
	reply, err := s.seller.Catalog.CreateProduct(ctx, request)
	if err != nil {
		return nil, err
	}
	s.name(step, reply.GetProduct().GetId())
	return productOf(reply.GetProduct()), nil
}

func (s *story) listProducts(ctx context.Context, step step) (any, error) {
	request, err := read(s, step, &catalogv1.ListProductsRequest{})
	if err != nil {
		return nil, err
	}
	pages := [][]offer{}
	for {
		reply, err := s.nobody.Catalog.ListProducts(ctx, request)
		if err != nil {
			return nil, err
		}
		page := []offer{}
		for _, p := range reply.GetProducts() {
			page = append(page, offer{p.GetId(), p.GetName()})
		}
		pages = append(pages, page)
		if request.PageToken = reply.GetNextPageToken(); request.PageToken == "" {
			return pages, nil
		}
	}
}

func (s *story) createOrder(ctx context.Context, step step) (any, error) {
	request, err := read(s, step, &orderv1.CreateOrderRequest{})
	if err != nil {
		return nil, err
	}
	s.network.attempts = 0
	reply, err := s.buyer.Orders.CreateOrder(ctx, request)
	if err != nil {
		return nil, err
	}
	s.name(step, reply.GetOrder().GetId())
	return placed{s.network.attempts, orderOf(reply.GetOrder())}, nil
}

func (s *story) createOrderTwice(ctx context.Context, step step) (any, error) {
	s.network.loseReply = true
	result, err := s.createOrder(ctx, step)
	if err == nil {
		s.variables["request"] = result.(placed).Order.RequestID
	}
	return result, err
}

func (s *story) shipOrder(ctx context.Context, step step) (any, error) {
	request, err := read(s, step, &orderv1.UpdateOrderStatusRequest{})
	if err != nil {
		return nil, err
	}
	reply, err := s.seller.Orders.UpdateOrderStatus(ctx, request)
	if err != nil {
		return nil, err
	}
	return progressOf(reply.GetOrder()), nil
}

func (s *story) watchOpens(ctx context.Context, step step) (any, error) {
	request, err := read(s, step, &orderv1.WatchOrdersRequest{})
	if err != nil {
		return nil, err
	}
	ctx, s.leave = context.WithCancel(ctx)
	if s.watch, err = s.buyer.Orders.WatchOrders(ctx, request); err != nil {
		return nil, err
	}
	first, err := s.watch.Recv()
	if err != nil {
		return nil, err
	}
	opened := struct {
		Order *progress `json:"order"`
	}{}
	if first.GetOrder() != nil {
		told := progressOf(first.GetOrder())
		opened.Order = &told
	}
	return opened, nil
}

func (s *story) watchTells(context.Context, step) (any, error) {
	if s.watch == nil {
		return nil, errors.New("the watch was not opened")
	}
	defer s.leave()
	told := []progress{}
	for {
		reply, err := s.watch.Recv()
		if err != nil {
			return nil, err
		}
		if reply.GetOrder() == nil {
			continue
		}
		told = append(told, progressOf(reply.GetOrder()))
		if reply.GetOrder().GetStatus() == orderv1.OrderStatus_ORDER_STATUS_SHIPPED {
			return told, nil
		}
	}
}

func (s *story) listOrders(ctx context.Context, step step) (any, error) {
	request, err := read(s, step, &orderv1.ListOrdersRequest{})
	if err != nil {
		return nil, err
	}
	pages := [][]listed{}
	for {
		reply, err := s.buyer.Orders.ListOrders(ctx, request)
		if err != nil {
			return nil, err
		}
		page := []listed{}
		for _, o := range reply.GetOrders() {
			page = append(page, listed{o.GetId(), moneyOf(o.GetTotalPrice()), o.GetStatus().String()})
		}
		pages = append(pages, page)
		if request.PageToken = reply.GetNextPageToken(); request.PageToken == "" {
			return pages, nil
		}
	}
}

func (s *story) orderStats(ctx context.Context, step step) (any, error) {
	reply, err := s.seller.Orders.GetOrderStats(ctx, &orderv1.GetOrderStatsRequest{})
	if err != nil {
		return nil, err
	}
	sums := []revenue{}
	at := map[string]int{}
	for _, day := range reply.GetDays() {
		earned := moneyOf(day.GetRevenue())
		i, ok := at[earned.CurrencyCode]
		if !ok {
			i = len(sums)
			at[earned.CurrencyCode] = i
			sums = append(sums, revenue{Revenue: money{CurrencyCode: earned.CurrencyCode}})
		}
		sums[i].Orders += day.GetOrders()
		sums[i].Revenue.MinorUnits += earned.MinorUnits
	}
	return sums, nil
}

func (s *story) cancelOrder(ctx context.Context, step step) (any, error) {
	request, err := read(s, step, &orderv1.CancelOrderRequest{})
	if err != nil {
		return nil, err
	}
	reply, err := s.buyer.Orders.CancelOrder(ctx, request)
	if err != nil {
		return nil, err
	}
	return progressOf(reply.GetOrder()), nil
}

func (s *story) idleWatch(ctx context.Context, step step) (any, error) {
	request, err := read(s, step, &orderv1.WatchOrdersRequest{})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(step.TimeoutMS)*time.Millisecond)
	defer cancel()
	watch, err := s.buyer.Orders.WatchOrders(ctx, request)
	for err == nil {
		_, err = watch.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	return nil, err
}

// network counts what CreateOrder sends, and can lose a reply.
type network struct {
	attempts  int
	loseReply bool
}

func (n *network) unary(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	err := invoke(ctx, method, request, reply, conn, options...)
	if method != orderv1.OrderService_CreateOrder_FullMethodName {
		return err
	}
	n.attempts++
	if err == nil && n.loseReply {
		n.loseReply = false
		return status.Error(codes.Unavailable, "the reply was lost")
	}
	return err
}
