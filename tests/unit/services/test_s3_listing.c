/* Listings against a plain model: random keys, prefixes, delimiters and page sizes; a seed is a story. */
#include "s3_test.h"

enum { MOST = 400 };

struct entry {
    char text[24];
    bool prefix;
};

static struct s3_world w;
static struct rand dice;
static char keys[MOST][24]; /* sorted, living */
static int key_count;

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Few letters, so that keys share prefixes; a delimiter, what stands beside it, and a letter of three bytes. */
static void random_key(char ret[static 24])
{
    static const char *const letters[] = { "a", "b", "/", "/", "0", ".", "-", "\xe2\x82\xac" };
    int n = 1 + (int)rand_below(&dice, 6);

    ret[0] = '\0';
    for (int i = 0; i < n; i++)
        strcat(ret, letters[rand_below(&dice, 8)]);
}

/* What a page must be: entries greater than the marker, in order. */
static int model(const char *prefix, const char *delimiter, const char *marker, struct entry *ret)
{
    int n = 0;

    for (int i = 0; i < key_count; i++) {
        struct entry e = { "", false };
        const char *found;

        if (strncmp(keys[i], prefix, strlen(prefix)) != 0)
            continue;
        strcpy(e.text, keys[i]);
        found = *delimiter ? strstr(keys[i] + strlen(prefix), delimiter) : NULL;
        if (found) {
            e.prefix = true;
            e.text[found - keys[i] + (long)strlen(delimiter)] = '\0';
        }
        if (strcmp(e.text, marker) <= 0 || (n > 0 && ret[n - 1].prefix && strcmp(ret[n - 1].text, e.text) == 0))
            continue;
        ret[n++] = e;
    }
    return n;
}

static void check_page(const struct doc *out, const struct entry *want, int count)
{
    size_t contents = 0, prefixes = 0;

    for (int i = 0; i < count; i++)
        if (want[i].prefix)
            assert_string_equal(doc_text(out, arena_printf(w.arena, "CommonPrefixes[%zu].Prefix", prefixes++)),
                                want[i].text);
        else
            assert_string_equal(doc_text(out, arena_printf(w.arena, "Contents[%zu].Key", contents++)), want[i].text);
    assert_int_equal(doc_count(out, "Contents"), contents);
    assert_int_equal(doc_count(out, "CommonPrefixes"), prefixes);
}

static void list_both_ways(void)
{
    static const char *const delimiters[] = { "", "/", "/", "ab", "\xe2\x82\xac" };
    static struct entry want[MOST];
    const char *delimiter = delimiters[rand_below(&dice, 5)], *token = NULL, *marker = "";
    char prefix[24] = "", start[24] = "";
    int page = 1 + (int)rand_below(&dice, 30), count, at = 0;
    const struct doc *out;

    if (rand_below(&dice, 2))
        random_key(prefix);
    prefix[rand_below(&dice, 3)] = '\0'; /* short; perhaps inside a letter, which the next line mends */
    if (!utf8_valid(str_of(prefix)))
        prefix[0] = '\0';
    if (rand_below(&dice, 3) == 0)
        random_key(start);
    count = model(prefix, delimiter, start, want);
    do {
        struct doc *input = doc_map(w.arena);

        doc_set_string(w.arena, input, "Bucket", "shelf");
        doc_set_string(w.arena, input, "Prefix", prefix);
        doc_set_string(w.arena, input, "Delimiter", *delimiter ? delimiter : NULL);
        doc_set_string(w.arena, input, "StartAfter", *start ? start : NULL);
        doc_set_string(w.arena, input, "ContinuationToken", token);
        doc_set_integer(w.arena, input, "MaxKeys", page);
        assert_int_equal(s3_run(&w, "ListObjectsV2", input, NULL), 0);
        out = w.output;
        check_page(out, want + at, count - at < page ? count - at : page);
        at += (int)doc_int(out, "KeyCount", -1);
        token = doc_text(out, "NextContinuationToken");
        assert_int_equal(doc_bool(out, "IsTruncated", false), at < count);
    } while (*token);
    assert_int_equal(at, count);

    at = 0;
    marker = start;
    do {
        struct doc *input = doc_map(w.arena);
        int here = count - at < page ? count - at : page;

        doc_set_string(w.arena, input, "Bucket", "shelf");
        doc_set_string(w.arena, input, "Prefix", prefix);
        doc_set_string(w.arena, input, "Delimiter", *delimiter ? delimiter : NULL);
        doc_set_string(w.arena, input, "Marker", marker);
        doc_set_integer(w.arena, input, "MaxKeys", page);
        assert_int_equal(s3_run(&w, "ListObjects", input, NULL), 0);
        out = w.output;
        check_page(out, want + at, here);
        at += here;
        if (here > 0)
            marker = want[at - 1].text;
        if (doc_bool(out, "IsTruncated", false) && *delimiter)
            assert_string_equal(doc_text(out, "NextMarker"), marker);
    } while (doc_bool(out, "IsTruncated", false));
    assert_int_equal(at, count);
}

static void story(uint64_t seed, bool versioned)
{
    dice = rand_seeded(seed);
    s3_world_new(&w);
    key_count = 0;
    s3_do(&w, "CreateBucket", "{'Bucket':'shelf'}");
    s3_do(&w, "CreateBucket", "{'Bucket':'shelf2'}"); /* a neighbour whose name begins the same */
    s3_put(&w, "shelf2", "a", "");
    if (versioned)
        s3_do(&w, "PutBucketVersioning", "{'Bucket':'shelf','VersioningConfiguration':{'Status':'Enabled'}}");
    for (int step = 0; step < 300; step++) {
        char key[24];
        int at = 0;

        if (step % 30 == 29) {
            list_both_ways();
            list_both_ways();
            continue;
        }
        random_key(key);
        while (at < key_count && strcmp(keys[at], key) != 0)
            at++;
        if (rand_below(&dice, 4) == 0) {
            struct doc *input = doc_map(w.arena);

            doc_set_string(w.arena, input, "Bucket", "shelf");
            doc_set_string(w.arena, input, "Key", key);
            assert_int_equal(s3_run(&w, "DeleteObject", input, NULL), 0);
            if (at < key_count)
                memmove(keys[at], keys[--key_count], sizeof keys[0]);
        } else {
            s3_put(&w, "shelf", key, "");
            if (at == key_count)
                strcpy(keys[key_count++], key);
        }
        qsort(keys, (size_t)key_count, sizeof keys[0], compare);
    }
    s3_world_free(&w);
}

static void pages_are_what_the_model_says(void **state)
{
    for (uint64_t seed = 1; seed <= 30; seed++)
        story(seed, seed % 2);
}

static void versions_page_by_page(void **state)
{
    const struct doc *out;
    const char *key = "", *id = "";
    int seen = 0, latest = 0;

    s3_world_new(&w);
    s3_do(&w, "CreateBucket", "{'Bucket':'shelf'}");
    s3_put(&w, "shelf", "a", "");
    s3_do(&w, "PutBucketVersioning", "{'Bucket':'shelf','VersioningConfiguration':{'Status':'Enabled'}}");
    for (int i = 0; i < 7; i++)
        s3_put(&w, "shelf", "a", "");
    s3_do(&w, "DeleteObject", "{'Bucket':'shelf','Key':'a'}");
    for (int i = 0; i < 3; i++)
        s3_put(&w, "shelf", "b", "");
    do {
        out = s3_do(&w, "ListObjectVersions", "{'Bucket':'shelf','MaxKeys':2%s%s%s%s%s%s}",
                    *key ? ",'KeyMarker':'" : "", key,
                    *key ? "'" : "", *id ? ",'VersionIdMarker':'" : "", id, *id ? "'" : "");
        for (size_t i = 0; i < doc_count(out, "Versions"); i++)
            latest += doc_bool(out, arena_printf(w.arena, "Versions[%zu].IsLatest", i), false);
        for (size_t i = 0; i < doc_count(out, "DeleteMarkers"); i++)
            latest += doc_bool(out, arena_printf(w.arena, "DeleteMarkers[%zu].IsLatest", i), false);
        seen += (int)(doc_count(out, "Versions") + doc_count(out, "DeleteMarkers"));
        key = doc_text(out, "NextKeyMarker");
        id = doc_text(out, "NextVersionIdMarker");
    } while (doc_bool(out, "IsTruncated", false));
    assert_int_equal(seen, 12);
    assert_int_equal(latest, 2);
    s3_world_free(&w);
}

/* More dead keys than one page may read: pages without an entry, and then the living ones. */
static void through_a_graveyard(void **state)
{
    const struct doc *out;
    const char *token = "";
    int pages = 0, found = 0;

    s3_world_new(&w);
    s3_do(&w, "CreateBucket", "{'Bucket':'shelf'}");
    s3_do(&w, "PutBucketVersioning", "{'Bucket':'shelf','VersioningConfiguration':{'Status':'Enabled'}}");
    for (int i = 0; i < 11000; i++)
        s3_do(&w, "DeleteObject", "{'Bucket':'shelf','Key':'a/%05d'}", i);
    s3_put(&w, "shelf", "a/zz", "");
    s3_put(&w, "shelf", "b", "");
    for (int delimited = 0; delimited < 2; delimited++) {
        pages = found = 0;
        token = "";
        do {
            out = s3_do(&w, "ListObjectsV2", "{'Bucket':'shelf'%s%s%s%s}", delimited ? ",'Delimiter':'/'" : "",
                        *token ? ",'ContinuationToken':'" : "", token, *token ? "'" : "");
            found += (int)doc_int(out, "KeyCount", 0);
            token = doc_text(out, "NextContinuationToken");
            assert_int_equal(doc_bool(out, "IsTruncated", false), *token != '\0');
            pages++;
        } while (*token);
        assert_int_equal(found, 2);
        assert_int_equal(pages, 2);
        /* The first version of the operation has no token: its marker leads on, as botocore reads it. */
        pages = found = 0;
        token = "";
        do {
            out = s3_do(&w, "ListObjects", "{'Bucket':'shelf'%s%s%s%s}", delimited ? ",'Delimiter':'/'" : "",
                        *token ? ",'Marker':'" : "", token, *token ? "'" : "");
            found += (int)(doc_count(out, "Contents") + doc_count(out, "CommonPrefixes"));
            token = doc_text(out, "NextMarker");
            assert_int_equal(doc_bool(out, "IsTruncated", false), *token != '\0');
            pages++;
        } while (*token);
        assert_int_equal(found, 2);
        assert_int_equal(pages, 2);
    }
    s3_world_free(&w);
}

static void names_that_xml_cannot_say(void **state)
{
    const struct doc *out;

    s3_world_new(&w);
    s3_do(&w, "CreateBucket", "{'Bucket':'shelf'}");
    s3_put(&w, "shelf", "a b/\x01+\xe2\x82\xac", "");
    out = s3_do(&w, "ListObjectsV2", "{'Bucket':'shelf','EncodingType':'url'}");
    assert_string_equal(doc_text(out, "Contents[0].Key"), "a%20b/%01%2B%E2%82%AC");
    out = s3_do(&w, "ListObjectsV2", "{'Bucket':'shelf','EncodingType':'url','Delimiter':'/'}");
    assert_string_equal(doc_text(out, "CommonPrefixes[0].Prefix"), "a%20b/");
    out = s3_do(&w, "ListObjectsV2", "{'Bucket':'shelf','MaxKeys':0}");
    assert_false(doc_bool(out, "IsTruncated", true));
    out = s3_do(&w, "ListObjects", "{'Bucket':'shelf','MaxKeys':0}");
    assert_false(doc_bool(out, "IsTruncated", true));
    out = s3_do(&w, "ListObjectVersions", "{'Bucket':'shelf','MaxKeys':0}");
    assert_false(doc_bool(out, "IsTruncated", true));
    s3_fails(&w, "InvalidArgument", "ListObjectsV2", "{'Bucket':'shelf','ContinuationToken':'?'}");
    s3_fails(&w, "InvalidArgument", "ListObjectsV2", "{'Bucket':'shelf','ContinuationToken':''}");
    /* Base64 all right, but no token of ours. */
    s3_fails(&w, "InvalidArgument", "ListObjectsV2", "{'Bucket':'shelf','ContinuationToken':'YWJjZGVm'}");
    assert_string_equal(w.err.text, "The continuation token provided is incorrect");
    s3_fails(&w, "InvalidArgument", "ListObjectsV2", "{'Bucket':'shelf','MaxKeys':-1}");
    s3_world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_what_the_model_says),
        cmocka_unit_test(versions_page_by_page),
        cmocka_unit_test(through_a_graveyard),
        cmocka_unit_test(names_that_xml_cannot_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
