package orderflow

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Details are what an error of OrderFlow says beyond its code and its text. What it does not say is nil, and the Get methods
// of nil are good to call: DetailsOf(err).ErrorInfo.GetReason().
type Details struct {
	// Why, for programs. Its reason is in UPPER_SNAKE: "INSUFFICIENT_STOCK". Of an INTERNAL error its metadata has the
	// "trace_id" under which the cause is in the server's log. Not there when the error came from elsewhere: a broken connection.
	ErrorInfo *errdetails.ErrorInfo
	// Each field of the request that is wrong.
	BadRequest *errdetails.BadRequest
	// Each thing that stands in the way: of an order, each line that cannot be had, its product and what is so now.
	PreconditionFailure *errdetails.PreconditionFailure
	// The same request may be sent again, so much later.
	RetryInfo *errdetails.RetryInfo
}

// DetailsOf reads the details of any error.
func DetailsOf(err error) Details {
	var details Details
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			details.ErrorInfo = detail
		case *errdetails.BadRequest:
			details.BadRequest = detail
		case *errdetails.PreconditionFailure:
			details.PreconditionFailure = detail
		case *errdetails.RetryInfo:
			details.RetryInfo = detail
		}
	}
	return details
}

// IsOutcomeUnknown says whether the call may have done its work in spite of this error. Any other error is definite: it has
// done nothing, in none of its attempts. Of an earlier call under the same request id only FAILED_PRECONDITION, ALREADY_EXISTS
// and INVALID_ARGUMENT say so, too.
func IsOutcomeUnknown(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Aborted, codes.Canceled, codes.Unknown, codes.Internal:
		return true
	default:
		return false
	}
}

// settles says whether nothing has been done under the request id, nor will be, whatever became of earlier attempts.
func settles(err error) bool {
	switch status.Code(err) {
	case codes.FailedPrecondition, codes.AlreadyExists, codes.InvalidArgument:
		return true
	default:
		return false
	}
}
