// Prints one JSON line of what the AWS SDK for JavaScript saw; the bucket's name comes as the argument.
import { CloudWatchClient, ListMetricsCommand, PutMetricDataCommand } from "@aws-sdk/client-cloudwatch";
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { DescribeEndpointCommand, ListTrainingJobsCommand, SageMakerClient } from "@aws-sdk/client-sagemaker";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";

const bucket = process.argv[2];
const s3 = new S3Client({ forcePathStyle: true });
await s3.send(new CreateBucketCommand({ Bucket: bucket }));
await s3.send(new PutObjectCommand({ Bucket: bucket, Key: "a/ü", Body: "hello" }));
const got = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: "a/ü" }));
const cloudwatch = new CloudWatchClient();
await cloudwatch.send(new PutMetricDataCommand({ Namespace: bucket, MetricData: [{ MetricName: "m", Value: 2 }] }));
const metrics = await cloudwatch.send(new ListMetricsCommand({ Namespace: bucket }));
const sagemaker = new SageMakerClient();
const jobs = await sagemaker.send(new ListTrainingJobsCommand({}));
let missing;
try {
  await sagemaker.send(new DescribeEndpointCommand({ EndpointName: "not-there" }));
} catch (error) {
  missing = `${error.name}: ${error.message}`;
}
const identity = await new STSClient().send(new GetCallerIdentityCommand({}));
console.log(JSON.stringify({
  body: await got.Body.transformToString(),
  metrics: metrics.Metrics.map((m) => m.MetricName),
  jobs: Array.isArray(jobs.TrainingJobSummaries),
  missing,
  arn: identity.Arn,
}));
