package dbtls

import "testing"

func TestIsRDS(t *testing.T) {
	rows := map[string]bool{
		"orders.abc123.eu-west-1.rds.amazonaws.com":             true,
		"orders.cluster-ro-abc123.eu-west-1.rds.amazonaws.com":  true,
		"p.proxy-abc123.eu-west-1.rds.amazonaws.com":            true,
		"g.global-abc123.global.rds.amazonaws.com":              true,
		"Orders.ABC123.eu-west-1.RDS.amazonaws.com.":            true,
		"orders.abc123.cn-north-1.rds.amazonaws.com.cn":         true,
		"orders.abc123.rds.cn-north-1.amazonaws.com.cn":         true,
		"ORDERS.abc123.rds.cn-northwest-1.amazonaws.com.cn.":    true,
		"rds.amazonaws.com":                                     false,
		".rds.amazonaws.com":                                    false,
		"rds.amazonaws.com.cn":                                  false,
		"rds.cn-north-1.amazonaws.com.cn":                       false,
		".rds.cn-north-1.amazonaws.com.cn":                      false,
		"a.cn-north-1.amazonaws.com.cn":                         false,
		"amazonaws.com.cn":                                      false,
		"evilrds.amazonaws.com":                                 false,
		"a.evilrds.amazonaws.com":                               false,
		"a.rds.cn-north-1.evilamazonaws.com.cn":                 false,
		"orders.abc123.eu-west-1.rds.amazonaws.com.evil.test":   false,
		"orders.abc123.rds.eu-west-1.amazonaws.com":             false,
		"orders.abc123.redshift.eu-west-1.amazonaws.com":        false,
		"abc.dsql.us-east-1.on.aws":                             false,
		"/orders.rds.amazonaws.com/socket":                      false,
		"127.0.0.1":                                             false,
		"":                                                      false,
		"orders.abc123.eu-west-1.rds.amazonaws.com:5432":        false,
		"orders.abc123.eu-west-1.rds.amazonaws.com.example.com": false,
	}
	for host, want := range rows {
		if got := IsRDS(host); got != want {
			t.Errorf("IsRDS(%q): got %v, want %v", host, got, want)
		}
	}
}
