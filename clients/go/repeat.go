package orderflow

import (
	"context"
	cryptorand "crypto/rand"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// repeat says how a call that takes a request id is sent again. gRPC's own retries know no unknown outcome: they take up only
// errors that came before anything else, and run below interceptors.
type repeat struct {
	// For all attempts together, where the context has no deadline.
	timeout time.Duration
	// For one attempt.
	attemptTimeout time.Duration
	// The longest wait after the first attempt. It doubles after each, up to the last one.
	firstDelay, lastDelay time.Duration
}

var defaultRepeat = repeat{
	timeout:        30 * time.Second,
	attemptTimeout: 5 * time.Second,
	firstDelay:     100 * time.Millisecond,
	lastDelay:      2 * time.Second,
}

// unary makes a call do its work once, however often it must be sent: under one request id, the caller's or a new one, as long
// as its outcome is unknown or the server asks to try again. The context's deadline and cancellation are for all of it.
func (r repeat) unary(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	request, ok := withRequestID(request)
	if !ok {
		return invoke(ctx, method, request, reply, conn, options...)
	}
	// What cannot be written down would come back as INTERNAL, like an outcome that is unknown.
	if _, err := proto.Marshal(request.(proto.Message)); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	ctx, cancel := within(ctx, r.timeout)
	defer cancel()
	var unknown error // What the last attempt said that may have done its work.
	for delay := r.firstDelay; ; delay = min(2*delay, r.lastDelay) {
		attempt, cancel := context.WithTimeout(ctx, r.attemptTimeout)
		err := invoke(attempt, method, request, reply, conn, options...)
		cancel()
		retry := DetailsOf(err).RetryInfo
		if err == nil {
			return nil
		}
		if IsOutcomeUnknown(err) {
			unknown = err
		}
		// Not every refusal of this attempt says what became of those before: they may have done it all the same.
		answer := err
		if unknown != nil && !settles(err) {
			answer = unknown
		}
		if ctx.Err() != nil || retry == nil && !IsOutcomeUnknown(err) {
			return answer
		}
		// Anything between nothing and the delay, so that clients who failed together do not come back together.
		wait := retry.GetRetryDelay().AsDuration() + rand.N(delay)
		if deadline, _ := ctx.Deadline(); time.Until(deadline) <= wait {
			return answer
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// withRequestID gives a request the id that it lacks, in a copy: the caller's message may be used for another call.
func withRequestID(request any) (any, bool) {
	message, ok := request.(proto.Message)
	if !ok {
		return request, false
	}
	field := message.ProtoReflect().Descriptor().Fields().ByName("request_id")
	if field == nil {
		return request, false
	}
	if message.ProtoReflect().Get(field).String() == "" {
		message = proto.Clone(message)
		message.ProtoReflect().Set(field, protoreflect.ValueOfString(cryptorand.Text()))
	}
	return message, true
}
