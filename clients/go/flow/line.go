package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/status"

	orderflow "orderflow.example/go"
	catalogv1 "orderflow.example/go/gen/orderflow/catalog/v1"
	moneyv1 "orderflow.example/go/gen/orderflow/money/v1"
	orderv1 "orderflow.example/go/gen/orderflow/order/v1"
	userv1 "orderflow.example/go/gen/orderflow/user/v1"
)

// line is what is printed of a step.
type line struct {
	Step       string      `json:"step"`
	Code       string      `json:"code"`
	Reason     string      `json:"reason,omitempty"`
	Fields     []string    `json:"fields,omitempty"`
	Violations []violation `json:"violations,omitempty"`
	Result     any         `json:"result,omitempty"`
}

type violation struct {
	Type    string `json:"type"`
	Subject string `json:"subject"`
}

type user struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

type money struct {
	CurrencyCode string `json:"currency_code"`
	MinorUnits   int64  `json:"minor_units,string"`
}

type product struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Price   money  `json:"price"`
	Stock   int64  `json:"stock,string"`
	OwnerID string `json:"owner_id"`
}

type offer struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type order struct {
	ID         string      `json:"id"`
	UserID     string      `json:"user_id"`
	Lines      []orderLine `json:"lines"`
	TotalPrice money       `json:"total_price"`
	Status     string      `json:"status"`
	RequestID  string      `json:"request_id"`
}

type orderLine struct {
	ProductID   string `json:"product_id"`
	ProductName string `json:"product_name"`
	SellerID    string `json:"seller_id"`
	Quantity    int32  `json:"quantity"`
	UnitPrice   money  `json:"unit_price"`
	LineTotal   money  `json:"line_total"`
}

type placed struct {
	Attempts int   `json:"attempts"`
	Order    order `json:"order"`
}

type progress struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

type listed struct {
	ID         string `json:"id"`
	TotalPrice money  `json:"total_price"`
	Status     string `json:"status"`
}

type revenue struct {
	Orders  int64 `json:"orders,string"`
	Revenue money `json:"revenue"`
}

func userOf(u *userv1.User) user { return user{u.GetId(), u.GetName(), u.GetEmail()} }

func moneyOf(m *moneyv1.Money) money { return money{m.GetCurrencyCode(), m.GetMinorUnits()} }

func productOf(p *catalogv1.Product) product {
	return product{p.GetId(), p.GetName(), moneyOf(p.GetPrice()), p.GetStock(), p.GetOwnerId()}
}

func orderOf(o *orderv1.Order) order {
	lines := make([]orderLine, 0, len(o.GetLines()))
	for _, l := range o.GetLines() {
		lines = append(lines, orderLine{
			ProductID:   l.GetProductId(),
			ProductName: l.GetProductName(),
			SellerID:    l.GetSellerId(),
			Quantity:    l.GetQuantity(),
			UnitPrice:   moneyOf(l.GetUnitPrice()),
			LineTotal:   moneyOf(l.GetLineTotal()),
		})
	}
	return order{
		ID:         o.GetId(),
		UserID:     o.GetUserId(),
		Lines:      lines,
		TotalPrice: moneyOf(o.GetTotalPrice()),
		Status:     o.GetStatus().String(),
		RequestID:  o.GetRequestId(),
	}
}

func progressOf(o *orderv1.Order) progress { return progress{o.GetId(), o.GetStatus().String()} }

// explain adds what an error says.
func (l *line) explain(details orderflow.Details) {
	l.Reason = details.ErrorInfo.GetReason()
	for _, wrong := range details.BadRequest.GetFieldViolations() {
		l.Fields = append(l.Fields, wrong.GetField())
	}
	for _, v := range details.PreconditionFailure.GetViolations() {
		l.Violations = append(l.Violations, violation{v.GetType(), v.GetSubject()})
	}
}

// codeName is the code as gRPC's documents spell it, which Go's own names do not.
func codeName(err error) string { return code.Code(status.Code(err)).String() }

// print writes the line with the names of variables in place of their values.
func (s *story) print(l line) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(l); err != nil {
		return err
	}
	masked := text.String()
	for name, value := range s.variables {
		masked = strings.ReplaceAll(masked, value, "$"+name)
	}
	_, err := os.Stdout.WriteString(masked)
	return err
}
