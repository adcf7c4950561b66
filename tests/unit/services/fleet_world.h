/* fleet_world.h - training jobs on a fleet file, and a control plane that is killed. Include it last. */
#ifndef TESTS_SERVICES_FLEET_WORLD_H
#define TESTS_SERVICES_FLEET_WORLD_H

#include "services/sagemaker/training.h"

#include "job_world.h"

#define HOUR INT64_C(1699999200000) /* a full one, when it begins */

enum { SECOND_MS = 1000, MINUTE_MS = 60000 };

static int fleet_begin(const char *file)
{
    jobs_make();
    w.now_ms = HOUR;
    w.goes_on = true;
    jobs_fleet(file);
    jobs_start();
    return 0;
}

/* Started again on what was committed. */
static void restart(void)
{
    jobs_stop();
    store_memory_crash(w.store);
    jobs_start();
}

static struct row row_of(const char *job)
{
    struct row row;

    assert_int_equal(store_row_by_name(w.arena, w.store, w.platform.account, w.platform.default_region, "TrainingJob",
                                       job, &row, &w.err), 0);
    return row;
}

static void create(const char *job, int instances, bool spot)
{
    call("CreateTrainingJob",
         arena_printf(w.arena, "{'TrainingJobName':'%s','RoleArn':'" ROLE "','AlgorithmSpecification':{"
                               "'TrainingImage':'x','TrainingInputMode':'File'},"
                               "'OutputDataConfig':{'S3OutputPath':'s3://b/o'},"
                               "'ResourceConfig':{'InstanceType':'ml.m5.large','InstanceCount':%d,'VolumeSizeInGB':1},"
                               "'StoppingCondition':{'MaxRuntimeInSeconds':36000%s", job, instances,
                      spot ? ",'MaxWaitTimeInSeconds':72000},'EnableManagedSpotTraining':true}" : "}}"));
}

#endif
