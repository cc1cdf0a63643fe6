package awsconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Explain puts a sentence that says what to do before an error of the SDK, which it wraps; other errors it returns as they
// are. An error of ctx is returned alone.
func Explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if say := advice(err); say != "" {
		return &explained{say, err}
	}
	return err
}

// explained is an error with advice. The SDK's own text is long, with request ids, and comes last.
type explained struct {
	say string
	err error
}

func (e *explained) Error() string { return e.say + " (" + short(e.err) + ")" }
func (e *explained) Unwrap() error { return e.err }

// short is what the service said, or the cause, without the SDK's account of the request.
func short(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if api.ErrorMessage() == "" {
			return api.ErrorCode()
		}
		return api.ErrorCode() + ": " + api.ErrorMessage()
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Error()
	}
	return err.Error()
}

// Code is the service's own name of the error, like NoSuchBucket, or "".
func Code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return Bare(api.ErrorCode())
	}
	return ""
}

// Bare is a code without the name space that some protocols put before it: NonExistentQueue of AWS.SimpleQueueService.NonExistentQueue.
func Bare(code string) string { return code[strings.LastIndexAny(code, ".#")+1:] }

// Status is the HTTP status of the answer that the error was made of, or 0.
func Status(err error) int {
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return r.HTTPStatusCode()
	}
	return 0
}

// advice is one clear sentence for an error, or "".
func advice(err error) string {
	switch Code(err) {
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidSecurity", "AuthFailure", "XAdminUserNotFound":
		return "AWS does not accept the credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile or role in their place"
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired":
		return "the AWS credentials have run out: sign in anew"
	case "RequestTimeTooSkewed", "RequestExpired", "InvalidSignatureException", "SignatureExpired":
		return "the signature was refused, most likely since the clock of this machine is wrong: set it by NTP, and check the secret key"
	case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AllAccessDisabled":
		return "the credentials lack the permission " + action(err) + ": add it to their IAM policy"
	case "Forbidden":
		return "access was refused: the IAM policy of the credentials needs " + action(err)
	case "NoSuchBucket":
		return "the bucket does not exist: create it, or correct its name"
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "MovedPermanently":
		return "the bucket is in another region" + bucketRegion(err) + ": set ?region= to that of the bucket"
	case "QueueDoesNotExist", "NonExistentQueue":
		return "the queue does not exist: correct its name or region (`ocelli serve` makes that of --queue)"
	case "SlowDown", "Throttling", "ThrottlingException", "RequestThrottled", "RequestLimitExceeded", "TooManyRequestsException", "ServiceUnavailable":
		return "AWS asks to go slower; the work waits and is tried again"
	}
	switch Status(err) {
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect:
		return "the bucket is in another region" + bucketRegion(err) + ": set ?region= to that of the bucket"
	case http.StatusForbidden:
		return "access was refused: the IAM policy of the credentials needs " + action(err)
	}
	if _, ok := errors.AsType[net.Error](err); ok && Status(err) == 0 {
		return "the service cannot be reached: check the network and the endpoint"
	}
	return ""
}

// bucketRegion is where S3 says that the bucket is, as part of a sentence, or "".
func bucketRegion(err error) string {
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && r.Response != nil {
		if region := r.Response.Header.Get("X-Amz-Bucket-Region"); region != "" {
			return ", " + region
		}
	}
	return ""
}

// actions are the IAM actions of operations that are not called like them. Source: the Service Authorization Reference,
// https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html.
var actions = map[string]string{
	"S3.HeadBucket":                    "s3:ListBucket",
	"S3.ListObjectsV2":                 "s3:ListBucket",
	"S3.HeadObject":                    "s3:GetObject",
	"S3.DeleteObjects":                 "s3:DeleteObject",
	"S3.CreateMultipartUpload":         "s3:PutObject",
	"S3.UploadPart":                    "s3:PutObject",
	"S3.CompleteMultipartUpload":       "s3:PutObject",
	"SQS.SendMessageBatch":             "sqs:SendMessage",
	"SQS.DeleteMessageBatch":           "sqs:DeleteMessage",
	"SQS.ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}

// action is the IAM action that the failed operation needs.
func action(err error) string {
	op, ok := errors.AsType[*smithy.OperationError](err)
	if !ok {
		return "for this action"
	}
	if a := actions[op.Service()+"."+op.Operation()]; a != "" {
		return a
	}
	return fmt.Sprintf("%s:%s", strings.ToLower(op.Service()), op.Operation())
}
