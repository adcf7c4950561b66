"""`sagebrush cost`: how the intervals of use become lines."""
import json
import time

import pytest

HOUR_MS = 3600 * 1000
NOW_MS = int(time.time() * 1000)


def interval(job, uid, hours, instance=None, **more):
    return {'owner_arn': f'arn:aws:sagemaker:us-east-1:111122223333:training-job/{job}', 'uid': uid, 'work': 'training',
            'instance_type': 'ml.m5.large', 'role_arn': 'arn:aws:iam::111122223333:role/r', 'usd_hour': 1.0,
            'spot': False,
            'from_ms': NOW_MS - 10 * HOUR_MS, 'to_ms': NOW_MS - 10 * HOUR_MS + int(hours * HOUR_MS), 'open': False,
            **({'instance': instance} if instance else {}), **more}


@pytest.fixture
def cost(place):
    place.up()

    def ask(intervals, *words):
        (place.data / 'answer.json').write_text(json.dumps({'intervals': intervals}))
        said = json.loads(place.run('cost', '--json', *words).stdout)
        return {line['name']: line for line in said['lines']}, place.run('cost', *words).stdout

    return ask


def test_an_instance_counts_once(cost):
    """However many attempts it took, also of what was written down before instances had a name of their own."""
    lines, text = cost([
        interval('again', 'a1-0', 1, 'a1'), interval('again', 'a1-1', 1, 'a1'), interval('again', 'other-2', 1, 'a1'),
        interval('again', 'a2-0', 1, 'a2'), interval('old', 'b-x-0', 1), interval('old', 'b-x-1', 1),
        interval('old', 'b-x-1-warm', 1, work='warm pool')])
    assert lines['again']['instances'] == 2 and lines['again']['used_ms'] == 4 * HOUR_MS
    assert lines['old']['instances'] == 1 and lines['old']['usd'] == 3
    assert [x.split()[1:3] for x in text.splitlines()[1:]] == [['2', '14400.0'], ['1', '10800.0'], ['3', '25200.0']]


def test_an_instance_that_is_kept_warm_counts_in_both_lines_and_once_in_all(cost):
    lines, text = cost([interval('j', 'a-0', 1, 'a'), interval('j', 'a-0-warm', 1, 'a', work='warm pool')], '--by',
                       'work')
    assert lines['training']['instances'] == 1 and lines['warm pool']['instances'] == 1
    assert text.splitlines()[-1].split()[1] == '1'


def test_spot_is_what_was_spot(cost):
    lines, text = cost([interval('s', 'a-0', 1, 'a', spot=True), interval('d', 'b-0', 2, 'b')])
    assert lines['s']['spot'] and lines['s']['spot_ms'] == HOUR_MS
    assert not lines['d']['spot'] and not lines['d']['spot_ms']
    assert [x.split()[-1] for x in text.splitlines()[1:3]] == ['2.000000', 'spot']
    lines, text = cost([interval('s', 'a-0', 1, 'a', spot=True), interval('d', 'b-0', 2, 'b')], '--by', 'type')
    assert not lines['ml.m5.large']['spot'] and lines['ml.m5.large']['spot_ms'] == HOUR_MS
    assert text.splitlines()[1].endswith('  spot for 3600.0 s of it')


def test_an_endpoint_and_a_job_of_one_name_are_two(cost):
    endpoint = interval('j', 'b-0', 1, 'b', owner_arn='arn:aws:sagemaker:us-east-1:111122223333:endpoint/j')
    _, text = cost([interval('j', 'a-0', 1, 'a'), endpoint])
    assert [x.split()[:2] for x in text.splitlines()[1:]] == [['j', '1'], ['j', '1'], ['total', '2']]


def test_what_has_no_price_is_said(cost):
    unpriced = interval('u', 'a-0', 1, 'a')
    del unpriced['usd_hour']
    lines, text = cost([unpriced, interval('p', 'b-0', 1, 'b')])
    assert lines['u']['unpriced'] and not lines['p']['unpriced'] and text.count('no price') == 1


def test_by_tag(cost):
    """A value may be anything; what came in parts, because its tags changed, is one instance."""
    def tags(**of):
        return [{'Key': k, 'Value': v} for k, v in of.items()]

    given = [interval('a', 'a-0', 1, 'a', tags=tags(team='red/1', stage='test')),
             interval('a', 'a-0', 2, 'a', tags=tags(team='blue')), interval('b', 'b-0', 4, 'b', tags=tags(team='')),
             interval('c', 'c-0', 8, 'c', tags=[]), interval('old', 'd-0', 1, 'd')]
    lines, text = cost(given, '--by', 'tag:team')
    assert {n: x['usd'] for n, x in lines.items()} == {'red/1': 1, 'blue': 2, '': 4, None: 9}
    assert lines[None]['instances'] == 2
    assert text.startswith('TAG team ') and '\n(no such tag) ' in text
    assert text.splitlines()[-1].split()[1] == '4'
    lines, _ = cost(given, '--by', 'tag:stage')
    assert {n: x['usd'] for n, x in lines.items()} == {'test': 1, None: 15}
