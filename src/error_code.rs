//! The list of the errors that a user can meet, each with its title, its meaning and what to do.
//!
//! `docs/errors.md` is generated from this list, and the annotation of an error links to its section there.

/// One section of `docs/errors.md`.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "only the test that generates docs/errors.md reads all fields"
    )
)]
struct ErrorInfo {
    code: ErrorCode,
    group: &'static str,
    title: &'static str,
    meaning: &'static str,
    action: &'static str,
}

macro_rules! error_codes {
    ($($group:literal { $($code:ident: $title:literal, $meaning:literal, $action:literal;)+ })+) => {
        /// What went wrong, as a user would look it up.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[doc = $meaning] $code,)+)+
        }

        const ENTRIES: &[ErrorInfo] = &[$($(ErrorInfo {
            code: ErrorCode::$code,
            group: $group,
            title: $title,
            meaning: $meaning,
            action: $action,
        },)+)+];
    };
}

error_codes! {
    "Inputs and the runner's machine" {
        InvalidInput: "Invalid input",
            "One or more inputs or flags have a value that cannot be used. The message lists all of them. Nothing was contacted.",
            "Correct the values that the message lists. [The inputs](inputs.md) have the valid values, as does `--help` on a command line.";
        BuildxNotFound: "buildx not found",
            "Neither `docker buildx` nor a standalone `buildx` is installed on the runner.",
            "Install the buildx plugin in the runner's image.";
        BuildxKnownBugs: "buildx has known bugs",
            "A warning: the installed buildx has bugs that can make builds hang or fail. `buildx-version: system` uses it nevertheless, as does a command outside of a job.",
            "Update buildx, or let the job install one: `buildx-version: auto`.";
        InvalidCaBundle: "CA bundle cannot be used",
            "The file that `AWS_CA_BUNDLE` or `SSL_CERT_FILE` names is missing or contains no certificate.",
            "Correct the variable, or unset it.";
        UnsupportedProxy: "Unsupported proxy",
            "`HTTPS_PROXY`, `HTTP_PROXY`, or `proxy-url` in the kubeconfig, is not the URL of an HTTP proxy.",
            "Set it to an `http://` or `https://` URL, or exclude the host with `NO_PROXY`.";
        ProxyFailed: "Cannot connect through the proxy",
            "The proxy of `HTTPS_PROXY`, `HTTP_PROXY`, or `proxy-url` in the kubeconfig, does not run, or does not connect to the host that the message names.",
            "Correct the proxy's URL, allow the host in the proxy, or exclude the host with `NO_PROXY`.";
        DnsFailed: "Cannot resolve host name",
            "The runner's DNS did not resolve the host name of AWS, GitHub or the cluster that the message names.",
            "Check the spelling of `region`, or the server's address in the kubeconfig, and the runner's DNS (/etc/resolv.conf).";
        CannotWriteFile: "Cannot write file",
            "A directory is missing, full, read-only or not owned by this user. The message has the path, the reason and the variable that moves it.",
            "Check the file system, or set the variable that the message names.";
        InvalidTempDir: "Temporary directory cannot be used",
            "The path in `RUNNER_TEMP` is not valid UTF-8.",
            "Configure the runner with another work directory.";
        BuildxDirLocked: "buildx directory is locked",
            "Another process holds buildx's lock: a process that hangs, or one on another machine that shares the home directory.",
            "End that process, or give each job its own `BUILDX_CONFIG`.";
        BuilderNameInUse: "Builder name already in use",
            "The permanent builder of `runner` cannot have this name: a builder that remote-buildkit did not create has it.",
            "Remove it with `docker buildx rm NAME`, or set `name`.";
        BuilderNotFound: "Builder not found",
            "`disconnect --builder` was called with a name that is not a builder of remote-buildkit.",
            "Use the name that `connect` printed.";
        InvalidBuilderFile: "Invalid builder file",
            "A warning: a file in buildx's directory `instances` is not a builder. Builds work, but `docker buildx ls` fails because of it.",
            "Remove the file that the message names.";
        CleanupIncomplete: "Cleanup incomplete",
            "A warning: `disconnect` could not remove everything that `connect` added to the runner. The message has the reason. The job does not fail.",
            "Remove what the message names, unless the runner is deleted after the job.";
        ConfirmationRequired: "Confirmation required",
            "`destroy` and `setup` ask before they change anything, and standard input is not a terminal.",
            "Add the flag that the message names.";
        TimedOut: "Timed out",
            "`connect`, `destroy` or `setup` did not finish within `timeout`. The message of `connect` names the last completed step; each names the last error, if there was one.",
            "Check the runner's network access to what the next step needs, or raise `timeout`.";
    }
    "AWS" {
        OidcTokenUnavailable: "No OIDC token for this job",
            "GitHub gave the job no OIDC token. A `pull_request` workflow of a fork gets none.",
            "Set `permissions: id-token: write` in the job, and in the caller of a reusable workflow. For pull requests of forks and of Dependabot, set `unavailable: local`.";
        BuildsLocally: "Job builds locally",
            "A warning: the job is for a pull request of a fork, or Dependabot started it. GitHub gives it no OIDC token, and `unavailable: local` lets it build with buildx's own builder, without the agent and its cache. The output `remote` is `false`.",
            "Nothing, or set `unavailable: fail`.";
        AwsRegionMissing: "AWS region is not set",
            "Neither the input `region` nor the AWS configuration names a region.",
            "Set `region`.";
        AwsCredentialsMissing: "No AWS credentials",
            "The AWS default credential chain found no credentials.",
            "Set `role-to-assume`, or give the runner an AWS identity.";
        CannotAssumeRole: "Cannot assume role",
            "STS refused the role: it does not exist, or its trust policy does not allow the subject that the message shows.",
            "Correct `role-to-assume`, or the role's trust policy.";
        InvalidStsResponse: "STS returned no credentials",
            "The response did not come from STS, for example from a proxy's login page.",
            "Check what answers at the STS endpoint of the region.";
        StsUnreachable: "Cannot reach STS",
            "STS did not respond.",
            "Check the spelling of `region`, and the runner's network access.";
        EksUnreachable: "Cannot reach EKS",
            "The EKS API did not respond.",
            "Check the spelling of `region`, and the runner's network access.";
        ClusterNotFound: "EKS cluster not found",
            "EKS knows no cluster of this name in this account and region.",
            "Check `cluster`, `region` and the account.";
        DescribeClusterDenied: "eks:DescribeCluster denied",
            "The identity has no permission for `eks:DescribeCluster` on this cluster.",
            "Add `eks:DescribeCluster` to the role's permissions.";
        DescribeClusterFailed: "eks:DescribeCluster failed",
            "EKS refused the request; the message has its reason.",
            "Follow the reason that EKS gives.";
        ClusterNotActive: "EKS cluster is not active",
            "The cluster is being created, updated or deleted.",
            "Wait until its status is ACTIVE.";
        AccountUnknown: "Cannot determine AWS account",
            "`ecr: auto` needs the caller's account, and STS did not return it.",
            "Set `ecr` to the account's number.";
        EcrLoginFailed: "ECR login failed",
            "ECR refused to give a password; the message has its reason.",
            "Add `ecr:GetAuthorizationToken` to the role's permissions, or remove the registry from `ecr`.";
        EcrUnreachable: "Cannot reach ECR",
            "ECR did not respond.",
            "Check the spelling of the region in `ecr`, and the runner's network access.";
    }
    "Cluster" {
        InvalidKubeconfig: "Kubeconfig cannot be used",
            "The kubeconfig is missing, is not valid, or does not have the context.",
            "Check `kubeconfig` and `context`.";
        NotInPod: "Not running in a pod",
            "`kubeconfig: in-cluster` works only on runners that are pods of the cluster.",
            "Set `cluster`, or `kubeconfig` to a file.";
        ClusterUnreachable: "Cannot reach the cluster",
            "The API server did not respond. The message says which networks its endpoint is open to, if that is known.",
            "Check that the runner can reach the API server.";
        Unauthorized: "Cluster rejected our identity (401)",
            "The cluster has no access entry for the identity that the message names, or the credentials are expired.",
            "Add an access entry for that identity, or get new credentials.";
        CredentialPluginFailed: "Credential plugin failed",
            "The exec plugin that the kubeconfig names failed or is not installed on the runner. The message has its output.",
            "Run the plugin's command on the runner and correct what fails.";
        Forbidden: "Cluster denied permission (403)",
            "The identity has no RBAC rule for the request.",
            "Bind the Role `remote-buildkit-use`, or `remote-buildkit-deploy` to create agents. If the agent does not exist, an administrator can deploy it: `remote-buildkit setup`.";
        NamespaceNotFound: "Namespace not found",
            "The namespace does not exist.",
            "Run `remote-buildkit setup` as an administrator, or correct `namespace`. The default is `buildkit`; set `namespace: default` for an agent in `default`.";
        ClusterUnavailable: "API server overloaded or failing",
            "The API server is reachable and answers that it is overloaded or failing.",
            "Retry later. If it persists, check the server's logs and `kubectl get --raw '/readyz?verbose'`.";
        RequestRejected: "Cluster rejected the request",
            "Validation, a quota or an admission policy rejected the request; the message has the server's reason.",
            "Correct the input that the reason names, or the namespace's quota.";
        FieldManagerConflict: "Field manager conflict",
            "Another tool manages an object of this name, or a field that remote-buildkit sets.",
            "Set another `name`, or set the inputs to the existing values.";
    }
    "Agent" {
        NamespaceExists: "Namespace exists already",
            "`demo` creates a namespace and deletes it at the end, so it uses none that exists.",
            "Choose another `namespace`.";
        AgentNotFound: "Agent not found",
            "`deploy: never` is set and no agent exists, or the agent was deleted while `connect` waited for it.",
            "Deploy the agent, or correct `name` and `namespace`.";
        AgentUnusable: "Agent cannot be used",
            "The Deployment is scaled to 0, or its pods lack the label `app: NAME`.",
            "Scale the Deployment to 1, or choose another `name`.";
        WrongArchitecture: "Wrong agent architecture",
            "An existing agent runs on nodes of another architecture than `platforms` asks for.",
            "Set `deploy: always`, or choose another `name`.";
        OtherArchitecture: "Agent and runner have different architectures",
            "A warning: without `platforms`, the job uses an existing agent on nodes of another architecture than the runner's. A build that names no platform makes an image for the agent's architecture.",
            "Set `platforms`, or name the agent's architecture in `node-selector`. See [platforms](platforms.md#without-platforms).";
        AgentNotReady: "Agent not ready in time",
            "The agent did not become ready within `timeout`. The message names the step that it waits for.",
            "Follow the message; raise `timeout` if the step only needs more time.";
        VolumeNotProvisioned: "Cannot provision the volume",
            "The StorageClass does not exist, no StorageClass is the default, the CSI driver has no permission, or the claim or its volume was deleted.",
            "Set `storage-class`, to `remote-buildkit` where `remote-buildkit setup` created it; correct the CSI driver's permissions, or delete the rest of the agent as the message says.";
        PodCreationDenied: "Cannot create the pod",
            "A quota, Pod Security, an admission policy or a missing service account prevents the pod.",
            "Correct what the message names.";
        Unschedulable: "No node fits the agent",
            "`node-selector`, `tolerations`, `cpu` and `memory` fit no node, or the volume is in another zone, and no autoscaler adds a node.",
            "Change these inputs and run one job with `deploy: always`, or add a node. See [when no node fits](configuration.md#when-no-node-fits).";
        MountFailed: "Cannot mount a volume",
            "A ConfigMap or Secret that the pod mounts does not exist.",
            "Create it, or delete the agent so that it is created again.";
        NoUserNamespaces: "No user namespaces",
            "The nodes forbid user namespaces, as Bottlerocket and EKS Auto Mode do, or the cluster is too old for them.",
            "Set `isolation: privileged`, or select other nodes.";
        ImagePullFailed: "Image pull failed",
            "The node cannot pull the agent's image.",
            "Check `image`, and the nodes' access to the registry. After a change of `image`, run one job with `deploy: always`.";
        CrashLoop: "Agent keeps crashing",
            "The agent's container exits immediately. The message ends with its last log lines.",
            "Correct `buildkitd-config`, or what the log names, and run one job with `deploy: always`.";
        ContainerCreationFailed: "Cannot create the container",
            "The node cannot create the agent's container.",
            "Read the events: `kubectl describe pod`.";
        BuildkitUnreachable: "BuildKit does not respond",
            "The pod is ready, but buildkitd in it does not answer. The API server may be unable to reach the node's kubelet.",
            "Check the security groups between the API server and the nodes, and the agent's log.";
        RolloutStuck: "Pod was not replaced",
            "`deploy: always` changed the Deployment, and no new pod appeared.",
            "Read the Deployment's events.";
        VolumeCannotShrink: "Volume cannot shrink",
            "`storage` is smaller than the existing volume.",
            "Set `storage` to at least the size that the message names.";
        StorageClassImmutable: "StorageClass cannot be changed",
            "The existing volume has another StorageClass than `storage-class`, and Kubernetes cannot change it.",
            "Set `storage-class` to the existing class, or remove the agent and its volume.";
        IsolationImmutable: "Isolation cannot be changed",
            "A rootless agent cannot use the volume of an agent that is not rootless, or the reverse.",
            "Choose another `name`, or remove the agent and its volume.";
        VolumeAlmostFull: "Cache volume almost full",
            "A warning: other data than the cache fills the agent's volume, or builds fill it faster than garbage collection frees space.",
            "Raise `storage` and run one job with `deploy: always`. See [the cache](cache.md).";
        PreferredAgentUnavailable: "Preferred agent unavailable",
            "A warning: with several agents, the one that has the cache of this job is not available, so another one builds. The message has the error of the preferred agent.",
            "Correct the error of the preferred agent. Until then, expect cache misses.";
        TestBuildFailed: "Test build failed",
            "The small build of `doctor`, or a build of `demo`, failed. The message has buildx's last lines.",
            "Follow buildx's message.";
    }
    "Setup" {
        AwsPermissionDenied: "AWS permission denied",
            "The identity that runs `setup` lacks a permission. The message has the IAM statement that allows it.",
            "Add the statement to the identity's policy, or run the command with another identity.";
        AwsRequestFailed: "AWS rejected the request",
            "IAM or EKS rejected a request of `setup`; the message has its reason.",
            "Follow the service's message.";
        IamUnreachable: "Cannot reach IAM",
            "IAM did not respond.",
            "Check this machine's network access to AWS.";
        SetupConflict: "Setup conflicts with what exists",
            "A role or an object of the name that `setup` needs belongs to others, or the cluster has nothing that provides volumes. Nothing was changed.",
            "Choose another name, or change what exists, as the message says.";
        RepositoryIdsUnknown: "Cannot determine the repository's ids",
            "The immutable form of the OIDC subject has the ids of the repository and its owner, and GitHub did not return them: the repository is private, or its name is wrong.",
            "Correct `--repository`, set `GITHUB_TOKEN`, or name the repository with its ids.";
    }
    "Matrix" {
        WorkdirNotFound: "Working directory not found",
            "The directory `workdir` does not exist.",
            "Check the repository out before this step, or correct `workdir`.";
        NoTargetsFound: "No targets found",
            "The repository has no bake file, Compose file or Dockerfile where `matrix` looked.",
            "Check the repository out before this step, or set `files` or `pattern`.";
        BaseNotFound: "Base not found",
            "`base` names a commit, branch or tag that does not exist in the clone or, in a job, on GitHub.",
            "Correct `base`. With `--base`, fetch it first: `git fetch origin`.";
        DockerfileNotParsed: "Cannot parse Dockerfile",
            "A warning: the Dockerfile has an error, or syntax that `matrix` does not support, so its targets are always built.",
            "Correct the line that the message names. If BuildKit accepts it, report it.";
        BakeFailed: "Cannot read the bake file",
            "buildx rejected the bake file; the message has the file and line.",
            "Correct the bake file.";
        UnknownBakeFormat: "Unknown bake format",
            "The output of `docker buildx bake --print` cannot be parsed.",
            "Update buildx, or remote-buildkit.";
        UnknownBakeTarget: "Unknown bake target",
            "buildx knows no target of this name. The message lists the existing targets.",
            "Correct `targets`.";
        UnknownTarget: "Unknown target",
            "No target has this name. The message lists the existing targets.",
            "Correct the name.";
        TargetCycle: "Targets depend on each other",
            "The `target:` contexts of the bake file form a cycle.",
            "Remove one of these contexts.";
        MatrixTooLarge: "Matrix too large",
            "The matrix is larger than GitHub accepts as an output.",
            "Plan fewer targets at once with `targets`.";
        MatrixReduced: "Matrix reduced to fit GitHub's limits",
            "A warning: GitHub allows 256 jobs in a matrix, and limits its size. Therefore an entry has several targets, or no entry has tags. All targets are built.",
            "Nothing, if the job builds all targets of its entry, as docker/bake-action does. To avoid it, plan fewer targets at once with `targets`.";
        GithubChangesUnavailable: "Cannot read the changes from GitHub",
            "A warning: GitHub's API did not return the changes, so the matrix has every image.",
            "Give the job `permissions: contents: read` and the input `github-token`; or check out with full history.";
    }
    "Self-hosted runners" {
        InvalidDockerConfig: "Docker config cannot be used",
            "docker's `config.json` is not valid JSON.",
            "Correct the file, or set `DOCKER_CONFIG`.";
        UserRequired: "User is required",
            "`runner` runs as root and `user` is not set.",
            "Set `user` to the user whose jobs are to build remotely.";
        UserNotFound: "User not found",
            "The user does not exist on this machine.",
            "Create the user first, or correct `user`.";
        OtherUserDenied: "Cannot configure another user's builder",
            "Only root can configure another user.",
            "Run it as root, or as that user.";
        DownloadFailed: "Download failed",
            "The download failed, or the file has another checksum than expected. Nothing was installed. It is a warning if the job can use the installed buildx instead.",
            "Check the machine's network access, or set `buildx-url` to a mirror.";
        InstallFailed: "Cannot install buildx",
            "The downloaded file does not run on this machine, or cannot be written. It is a warning if the job can use the installed buildx instead.",
            "Check that `buildx-url` is buildx for this machine's architecture.";
        InvalidInstallManifest: "Install record is corrupt",
            "The file in which `runner` records what it created was changed.",
            "Remove the file. What `runner` created stays on the machine, and can be removed by hand.";
        RunnerNotInstalled: "GitHub runner not installed",
            "`run.sh` of actions/runner was not found.",
            "Unpack actions/runner into `--runner-dir`.";
        GithubCredentialMissing: "No GitHub credential",
            "`--github-url` needs a token or an App's private key.",
            "Provide a file with the token or key, or `GITHUB_TOKEN`.";
        InvalidAppKey: "App key cannot be used",
            "The file is not the private key of a GitHub App in PEM format.",
            "Download the App's private key and correct the path.";
        OnlyForLinux: "Only for Linux",
            "`runner` was called on another operating system.",
            "Run it on the Linux machine that runs the jobs.";
        RegistrationFailed: "Runner registration failed",
            "GitHub refused to register the runner; the message has its answer and the permission that is needed.",
            "Give the token or the App that permission.";
        RunnerNameInUse: "Runner name already in use",
            "A runner of this name is online.",
            "Give each machine its own `--runner-name`.";
    }
    "Other" {
        Interrupted: "Interrupted",
            "A signal stopped the command, for example because the job was cancelled.",
            "Run it again.";
        Unexpected: "Unexpected error",
            "An error that has no remedy of its own here.",
            "Run it again with debug logging, and report it.";
    }
}

impl ErrorCode {
    /// Returns every code, in the order of `docs/errors.md`.
    pub fn all() -> impl Iterator<Item = Self> {
        ENTRIES.iter().map(|entry| entry.code)
    }

    /// Returns the title: what failed, in the words a person would search for.
    pub fn title(self) -> &'static str {
        self.entry().title
    }

    /// Returns the anchor of the code's section in `docs/errors.md`, as GitHub derives it from the heading.
    pub fn anchor(self) -> String {
        let title = self.title().to_lowercase();
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    }

    fn entry(self) -> &'static ErrorInfo {
        // ENTRIES lists the variants in the order in which the enum declares them.
        &ENTRIES[self as usize]
    }
}

/// Returns the sections of `docs/errors.md`: each error with its meaning and what to do, by group.
#[cfg(test)]
pub fn reference() -> String {
    use std::fmt::Write as _;

    let mut page = String::new();
    let mut group = "";
    for entry in ENTRIES {
        if entry.group != group {
            group = entry.group;
            let _ = write!(page, "\n## {group}\n");
        }
        let ErrorInfo {
            title,
            meaning,
            action,
            ..
        } = entry;
        let _ = write!(page, "\n### {title}\n\n{meaning}\n\n**What to do:** {action}\n");
    }
    page
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_code_is_its_own_entry() {
        for (index, entry) in ENTRIES.iter().enumerate() {
            assert_eq!(entry.code as usize, index);
        }
    }

    #[test]
    fn titles_and_anchors_are_unique() {
        let titles: BTreeSet<_> = ErrorCode::all().map(ErrorCode::title).collect();
        let anchors: BTreeSet<_> = ErrorCode::all().map(ErrorCode::anchor).collect();
        assert_eq!(titles.len(), ENTRIES.len());
        assert_eq!(anchors.len(), ENTRIES.len());
        assert_eq!(
            ErrorCode::Unauthorized.anchor(),
            "cluster-rejected-our-identity-401"
        );
    }

    #[test]
    fn meanings_and_actions_are_sentences() {
        for ErrorInfo {
            title,
            meaning,
            action,
            ..
        } in ENTRIES
        {
            for text in [meaning, action] {
                assert!(text.ends_with('.') && !text.contains("  "), "{title}: {text}");
            }
        }
    }
}
