/* managed.c - policies under arn:aws:iam::aws:policy/ that scripts attach by name. They say what AWS's say, as far as
 * the services of this house go. */
#include "services/iam/entity.h"

#define POLICY(statements) "{\"Version\":\"2012-10-17\",\"Statement\":[" statements "]}"
#define ALLOW(actions)     POLICY("{\"Effect\":\"Allow\",\"Action\":[" actions "],\"Resource\":\"*\"}")

const struct managed managed_policies[] = {
    { "AdministratorAccess", "/", "Provides full access to AWS services and resources.", ALLOW("\"*\"") },
    { "AWSFaultInjectionSimulatorEC2Access", "/service-role/", "Lets AWS FIS interrupt instances.",
      POLICY("{\"Effect\":\"Allow\",\"Action\":[\"ec2:SendSpotInstanceInterruptions\"],"
             "\"Resource\":\"arn:aws:ec2:*:*:instance/*\"}") },
    { "AmazonEventBridgeFullAccess", "/", "Provides full access to EventBridge.", ALLOW("\"events:*\"") },
    { "AmazonEventBridgeReadOnlyAccess", "/", "Provides read only access to EventBridge.",
      ALLOW("\"events:Describe*\",\"events:List*\",\"events:TestEventPattern\"") },
    { "AmazonS3FullAccess", "/", "Provides full access to all buckets.", ALLOW("\"s3:*\"") },
    { "AmazonS3ReadOnlyAccess", "/", "Provides read only access to all buckets.",
      ALLOW("\"s3:Get*\",\"s3:List*\",\"s3:Describe*\"") },
    /* Objects of buckets with "sagemaker" in their name; roles may be passed to SageMaker only. */
    { "AmazonSageMakerFullAccess", "/", "Provides full access to Amazon SageMaker and the services it is used with.",
      POLICY("{\"Effect\":\"Allow\",\"Action\":[\"sagemaker:*\"],\"Resource\":\"*\"},"
             "{\"Effect\":\"Allow\",\"Action\":[\"cloudwatch:DeleteAlarms\",\"cloudwatch:DescribeAlarms\","
             "\"cloudwatch:GetMetricData\",\"cloudwatch:GetMetricStatistics\",\"cloudwatch:ListMetrics\","
             "\"cloudwatch:PutMetricAlarm\",\"cloudwatch:PutMetricData\",\"iam:ListRoles\",\"logs:CreateLogDelivery\","
             "\"logs:CreateLogGroup\",\"logs:CreateLogStream\",\"logs:DescribeLogStreams\",\"logs:FilterLogEvents\","
             "\"logs:GetLogEvents\",\"logs:PutLogEvents\",\"s3:CreateBucket\",\"s3:GetBucketLocation\","
             "\"s3:ListBucket\",\"s3:ListAllMyBuckets\",\"s3:GetBucketCors\",\"s3:PutBucketCors\","
             "\"s3:GetBucketAcl\",\"s3:PutObjectAcl\"],\"Resource\":\"*\"},"
             "{\"Effect\":\"Allow\",\"Action\":[\"s3:GetObject\",\"s3:PutObject\",\"s3:DeleteObject\","
             "\"s3:AbortMultipartUpload\"],\"Resource\":[\"arn:aws:s3:::*SageMaker*\",\"arn:aws:s3:::*Sagemaker*\","
             "\"arn:aws:s3:::*sagemaker*\",\"arn:aws:s3:::*aws-glue*\"]},"
             "{\"Effect\":\"Allow\",\"Action\":[\"iam:PassRole\"],\"Resource\":\"arn:aws:iam::*:role/*\","
             "\"Condition\":{\"StringEquals\":{\"iam:PassedToService\":[\"sagemaker.amazonaws.com\"]}}},"
             "{\"Effect\":\"Allow\",\"Action\":[\"iam:GetRole\"],\"Resource\":\"*\"}") },
    { "AmazonSageMakerReadOnly", "/", "Provides read only access to Amazon SageMaker.",
      ALLOW("\"sagemaker:Describe*\",\"sagemaker:List*\",\"sagemaker:BatchGetMetrics\",\"sagemaker:"
            "GetSearchSuggestions\","
            "\"sagemaker:Search\",\"cloudwatch:DescribeAlarms\",\"cloudwatch:GetMetricStatistics\",\"cloudwatch:"
            "ListMetrics\","
            "\"logs:DescribeLogStreams\",\"logs:GetLogEvents\"") },
    { "CloudWatchFullAccess", "/", "Provides full access to CloudWatch.", ALLOW("\"cloudwatch:*\",\"logs:*\"") },
    { "CloudWatchLogsFullAccess", "/", "Provides full access to CloudWatch Logs.", ALLOW("\"logs:*\"") },
    { "CloudWatchLogsReadOnlyAccess", "/", "Provides read only access to CloudWatch Logs.",
      ALLOW("\"logs:Describe*\",\"logs:Get*\",\"logs:List*\",\"logs:StartQuery\",\"logs:StopQuery\",\"logs:"
            "TestMetricFilter\","
            "\"logs:FilterLogEvents\"") },
    { "CloudWatchReadOnlyAccess", "/", "Provides read only access to CloudWatch.",
      ALLOW("\"cloudwatch:Describe*\",\"cloudwatch:Get*\",\"cloudwatch:List*\",\"logs:Get*\",\"logs:List*\","
            "\"logs:Describe*\",\"logs:FilterLogEvents\"") },
    { "IAMFullAccess", "/", "Provides full access to IAM.", ALLOW("\"iam:*\"") },
    { "IAMReadOnlyAccess", "/", "Provides read only access to IAM.", ALLOW("\"iam:Get*\",\"iam:List*\"") },
    { "PowerUserAccess", "/", "Provides full access to AWS services and resources, but not to IAM.",
      POLICY("{\"Effect\":\"Allow\",\"NotAction\":[\"iam:*\",\"organizations:*\",\"account:*\"],\"Resource\":\"*\"},"
             "{\"Effect\":\"Allow\",\"Action\":[\"iam:ListRoles\"],\"Resource\":\"*\"}") },
    {},
};
