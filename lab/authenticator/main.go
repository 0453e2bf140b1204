// Runs the webhook server of the real aws-iam-authenticator on the loopback interface only. The original command binds every
// interface.
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
	cluster := flag.String("cluster", "", "name of the cluster, which a token must contain as its signed header x-k8s-aws-id")
	port := flag.Int("port", 21362, "port on loopback")
	state := flag.String("state", "", "directory of the server's certificate")
	webhook := flag.String("webhook", "", "path of the kubeconfig to write, with which kube-apiserver calls the webhook")
	access := flag.String("access", "", "path of a JSON file with mapRoles and mapUsers, reloaded when it changes")
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
		HealthPort:             -1, // the library would bind it on every interface; -1 makes that fail
		StateDir:               *state,
		GenerateKubeconfigPath: *webhook,
		BackendMode:            []string{"DynamicFile"},
		DynamicFilePath:        *access,
		// As on EKS, an access entry belongs to a principal ID, so a role that is deleted and created again has none.
		DynamicFileUserIDStrict: true,
		EC2DescribeInstancesQps: 15, EC2DescribeInstancesBurst: 5,
	}).Run(ctx.Done())
}
