package orderflow

import (
	"context"
	"slices"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	orderv1 "orderflow.example/go/gen/orderflow/order/v1"
)

// quick waits hardly between attempts.
var quick = repeat{
	timeout:        time.Minute,
	attemptTimeout: time.Minute,
	firstDelay:     time.Millisecond,
	lastDelay:      2 * time.Millisecond,
}

// refuse answers the attempts with these errors, one after the other, then with the order; it notes their request ids.
func (s *server) refuse(errors ...error) *[]string {
	ids := &[]string{}
	s.createOrder = func(_ context.Context, request *orderv1.CreateOrderRequest) (*orderv1.CreateOrderResponse, error) {
		*ids = append(*ids, request.GetRequestId())
		if n := len(*ids); n <= len(errors) {
			return nil, errors[n-1]
		}
		return &orderv1.CreateOrderResponse{Order: &orderv1.Order{RequestId: request.GetRequestId()}}, nil
	}
	return ids
}

func TestUnknownOutcomesAreRepeatedUnderOneRequestID(t *testing.T) {
	var errors []error
	for _, code := range []codes.Code{
		codes.Unavailable, codes.DeadlineExceeded, codes.Aborted, codes.Canceled, codes.Unknown, codes.Internal,
	} {
		errors = append(errors, status.Error(code, "who knows"))
	}
	s := serve(t)
	client := s.client(t, quick)
	for _, given := range []string{"", "mine"} {
		ids := s.refuse(errors...)
		request := &orderv1.CreateOrderRequest{RequestId: given}
		reply, err := client.Orders.CreateOrder(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		id := reply.GetOrder().GetRequestId()
		if len(*ids) != len(errors)+1 || len(slices.Compact(*ids)) != 1 || id == "" || given != "" && id != given {
			t.Errorf("sent %q", *ids)
		}
		if request.GetRequestId() != given {
			t.Error("the caller's message was changed")
		}
	}
}

func TestTwoOrdersHaveTwoRequestIDs(t *testing.T) {
	s := serve(t)
	client := s.client(t, quick)
	ids := s.refuse()
	for range 2 {
		if _, err := client.Orders.CreateOrder(t.Context(), &orderv1.CreateOrderRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if (*ids)[0] == (*ids)[1] {
		t.Errorf("%q", *ids)
	}
}

func TestDefiniteErrorsAreNotRepeated(t *testing.T) {
	s := serve(t)
	client := s.client(t, quick)
	for _, code := range []codes.Code{
		codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.ResourceExhausted,
		codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented, codes.DataLoss, codes.Unauthenticated,
	} {
		ids := s.refuse(status.Error(code, "no"))
		_, err := client.Orders.CreateOrder(t.Context(), &orderv1.CreateOrderRequest{})
		if status.Code(err) != code || len(*ids) != 1 {
			t.Errorf("%s: %d attempts, %v", code, len(*ids), err)
		}
	}
}

func TestWhatTheServerAsksForIsRepeated(t *testing.T) {
	s := serve(t)
	client := s.client(t, quick)
	busy, err := status.New(codes.ResourceExhausted, "busy").WithDetails(
		&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Millisecond)},
	)
	if err != nil {
		t.Fatal(err)
	}
	ids := s.refuse(busy.Err(), busy.Err())
	_, err = client.Orders.CreateOrder(t.Context(), &orderv1.CreateOrderRequest{})
	if err != nil || len(*ids) != 3 {
		t.Errorf("%d attempts, %v", len(*ids), err)
	}
	// Not beyond the time that the caller has.
	busy, err = status.New(codes.ResourceExhausted, "busy").WithDetails(
		&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Hour)},
	)
	if err != nil {
		t.Fatal(err)
	}
	ids = s.refuse(busy.Err())
	_, err = client.Orders.CreateOrder(t.Context(), &orderv1.CreateOrderRequest{})
	if status.Code(err) != codes.ResourceExhausted || len(*ids) != 1 {
		t.Errorf("%d attempts, %v", len(*ids), err)
	}
}

func TestWhatAnEarlierAttemptMayHaveDoneIsNotForgotten(t *testing.T) {
	s := serve(t)
	client := s.client(t, quick)
	lost := status.Error(codes.Unavailable, "lost")
	later, err := status.New(codes.ResourceExhausted, "busy").WithDetails(
		&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Hour)},
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, last := range []error{status.Error(codes.Unauthenticated, "no"), later.Err()} {
		ids := s.refuse(lost, last)
		_, err := client.Orders.CreateOrder(t.Context(), &orderv1.CreateOrderRequest{})
		if !IsOutcomeUnknown(err) || len(*ids) != 2 {
			t.Errorf("%v: %d attempts, %v", last, len(*ids), err)
		}
	}
	for _, code := range []codes.Code{codes.FailedPrecondition, codes.AlreadyExists, codes.InvalidArgument} {
		s.refuse(lost, status.Error(code, "no"))
		_, err := client.Orders.CreateOrder(t.Context(), &orderv1.CreateOrderRequest{})
		if status.Code(err) != code {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func TestAttemptsThatHangAreGivenUp(t *testing.T) {
	s := serve(t)
	impatient := quick
	impatient.attemptTimeout = 50 * time.Millisecond
	client := s.client(t, impatient)
	ids := []string{}
	s.createOrder = func(ctx context.Context, request *orderv1.CreateOrderRequest) (*orderv1.CreateOrderResponse, error) {
		ids = append(ids, request.GetRequestId())
		if len(ids) == 1 {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return &orderv1.CreateOrderResponse{}, nil
	}
	if _, err := client.Orders.CreateOrder(t.Context(), &orderv1.CreateOrderRequest{}); err != nil {
		t.Fatal(err)
	}
	if len(slices.Compact(ids)) != 1 {
		t.Errorf("%q", ids)
	}
}

func TestWhatCannotBeSentIsNotRepeated(t *testing.T) {
	s := serve(t)
	client := s.client(t, quick)
	ids := s.refuse()
	_, err := client.Orders.CreateOrder(t.Context(), &orderv1.CreateOrderRequest{RequestId: "\xff"})
	if status.Code(err) != codes.InvalidArgument || len(*ids) != 0 {
		t.Errorf("%d attempts, %v", len(*ids), err)
	}
}
