// Package awssecrets looks passwords up in AWS Secrets Manager and in the Parameter Store of AWS
// Systems Manager.
//
//	auth=awssecretsmanager://NAME-or-ARN?…   SecretsManager
//	auth=awsparamstore://NAME?…              ParameterStore
//
// The URLs are those of the Go CDK, and what they can't say is added: ARNs, versions and stages, and
// a path into JSON.
//
// # Permissions
//
// One each: secretsmanager:GetSecretValue on the secret, or ssm:GetParameter on the parameter; and
// kms:Decrypt, where a key of one's own encrypts it. Nothing is described or listed.
//
// # What goes wrong, and is prevented here
//
//   - A rotation changes the password in the database a while before AWSCURRENT moves, so that the
//     current version is refused. The version that will be current next is labelled AWSPENDING, and
//     the one that was current before AWSPREVIOUS; Others returns them.
//   - Rotation functions leave AWSPENDING behind, on the version that is current by now or on one
//     that has no value. Versions are told apart by their ids, so that none is tried twice.
//   - Where two users alternate, another version is for another user. The user and the password are
//     always from the same version.
//   - A policy may allow AWSCURRENT only, and AWS then denies a request that does not name the stage,
//     though it means the same. So the stage is always named.
//   - A secret that is looked up in the wrong region is not found. An ARN says the region.
//
// The answers are secrets, so that the stores are asked over TLS only. This does not concern the
// requests for AWS credentials, which in containers and instances go to http:// addresses that are
// reached without leaving the machine's host.
//
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
package awssecrets
