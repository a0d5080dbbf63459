package orderflow

import (
	"context"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	catalogv1 "orderflow.example/go/gen/orderflow/catalog/v1"
	moneyv1 "orderflow.example/go/gen/orderflow/money/v1"
	orderv1 "orderflow.example/go/gen/orderflow/order/v1"
	userv1 "orderflow.example/go/gen/orderflow/user/v1"
)

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"http://127.0.0.1:8080": "dns:///127.0.0.1:8080",
		"http://[::1]:8080":     "dns:///[::1]:8080",
		"http://shop.example":   "dns:///shop.example:80",
		"https://shop.example/": "dns:///shop.example:443",
		"127.0.0.1:8080":        "",
		"shop.example":          "",
		"ftp://shop.example":    "",
	} {
		target, _, err := parse(address)
		if target != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", address, target, err)
		}
	}
}

func TestDetails(t *testing.T) {
	s := serve(t)
	client := s.client(t, defaultRepeat)
	s.getMe = func(context.Context) error {
		refusal, err := status.New(codes.ResourceExhausted, "not now").WithDetails(
			&errdetails.ErrorInfo{Reason: "BUSY", Domain: "orderflow"},
			&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "lines[0].quantity"}}},
			&errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{{Type: "INSUFFICIENT_STOCK"}}},
			&errdetails.RetryInfo{RetryDelay: durationpb.New(100 * time.Millisecond)},
		)
		if err != nil {
			t.Error(err)
		}
		return refusal.Err()
	}
	details := DetailsOf(getMe(t, client))
	if details.ErrorInfo.GetReason() != "BUSY" ||
		details.BadRequest.GetFieldViolations()[0].GetField() != "lines[0].quantity" ||
		details.PreconditionFailure.GetViolations()[0].GetType() != "INSUFFICIENT_STOCK" ||
		details.RetryInfo.GetRetryDelay().AsDuration() != 100*time.Millisecond {
		t.Errorf("%v", details)
	}
	if details := DetailsOf(context.Canceled); details != (Details{}) || details.ErrorInfo.GetReason() != "" {
		t.Errorf("%v", details)
	}
}

func TestDeadline(t *testing.T) {
	s := serve(t)
	client := s.client(t, defaultRepeat)
	s.getMe = func(ctx context.Context) error {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("a call without a deadline")
		}
		return nil
	}
	if err := getMe(t, client); err != nil {
		t.Error(err)
	}
	unlimited := make(chan bool, 1)
	s.watch = func(stream grpc.ServerStreamingServer[orderv1.WatchOrdersResponse]) error {
		_, limited := stream.Context().Deadline()
		unlimited <- !limited
		return nil
	}
	if err := watchToEnd(t, client); err != nil || !<-unlimited {
		t.Errorf("%v, or a stream with a deadline", err)
	}

	s.getMe = func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.Users.GetMe(ctx, &userv1.GetMeRequest{}); status.Code(err) != codes.DeadlineExceeded {
		t.Error(err)
	}
}

func TestCancellationReachesTheServer(t *testing.T) {
	s := serve(t)
	client := s.client(t, defaultRepeat)
	begun, over := make(chan struct{}), make(chan struct{})
	wait := func(ctx context.Context) error {
		begun <- struct{}{}
		<-ctx.Done()
		over <- struct{}{}
		return ctx.Err()
	}
	s.getMe = wait
	s.watch = func(stream grpc.ServerStreamingServer[orderv1.WatchOrdersResponse]) error {
		return wait(stream.Context())
	}
	s.createOrder = func(ctx context.Context, _ *orderv1.CreateOrderRequest) (*orderv1.CreateOrderResponse, error) {
		return nil, wait(ctx)
	}
	calls := map[string]func(context.Context) error{
		"unary": func(ctx context.Context) error {
			_, err := client.Users.GetMe(ctx, &userv1.GetMeRequest{})
			return err
		},
		"repeated": func(ctx context.Context) error {
			_, err := client.Orders.CreateOrder(ctx, &orderv1.CreateOrderRequest{})
			return err
		},
		"stream": func(ctx context.Context) error {
			stream, err := client.Orders.WatchOrders(ctx, &orderv1.WatchOrdersRequest{})
			for err == nil {
				_, err = stream.Recv()
			}
			return err
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- call(ctx) }()
			<-begun
			cancel()
			<-over
			if err := <-ended; status.Code(err) != codes.Canceled {
				t.Error(err)
			}
		})
	}
}

func TestNumbersBeyondDoubles(t *testing.T) {
	client := serve(t).client(t, defaultRepeat)
	const odd = 1<<53 + 1
	request := &catalogv1.CreateProductRequest{Price: &moneyv1.Money{MinorUnits: odd}, Stock: -odd}
	reply, err := client.Catalog.CreateProduct(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if product := reply.GetProduct(); product.GetPrice().GetMinorUnits() != odd || product.GetStock() != -odd {
		t.Errorf("%v", product)
	}
}
