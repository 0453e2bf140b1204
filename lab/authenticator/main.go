// The real aws-iam-authenticator webhook server, bound to loopback only: the stock command binds every interface.
package main

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/aws-iam-authenticator/pkg/config"
	"sigs.k8s.io/aws-iam-authenticator/pkg/metrics"
	"sigs.k8s.io/aws-iam-authenticator/pkg/server"
)

func main() {
	cluster := flag.String("cluster", "", "the cluster's name, which a token must have signed as x-k8s-aws-id")
	port := flag.Int("port", 21362, "port on loopback")
	state := flag.String("state", "", "folder for the server's certificate")
	webhook := flag.String("webhook", "", "the webhook's kubeconfig, written for kube-apiserver")
	access := flag.String("access", "", "JSON with mapRoles and mapUsers, read again when it changes")
	flag.Parse()

	metrics.InitMetrics(prometheus.DefaultRegisterer)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() { <-ctx.Done(); os.Exit(0) }()
	server.New(ctx, config.Config{
		ClusterID:              *cluster,
		PartitionID:            "aws",
		Address:                "127.0.0.1",
		Hostname:               "127.0.0.1",
		HostPort:               *port,
		HealthPort:             -1, // bound on every interface by the library; -1 makes that fail
		StateDir:               *state,
		GenerateKubeconfigPath: *webhook,
		BackendMode:            []string{"DynamicFile"},
		DynamicFilePath:        *access,
		// As EKS does: an access entry is for a principal id, so a role deleted and made again has none.
		DynamicFileUserIDStrict: true,
		EC2DescribeInstancesQps: 15, EC2DescribeInstancesBurst: 5,
	}).Run(ctx.Done())
}
