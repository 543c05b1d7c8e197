/** The operators' commands as people and scripts use them: names, exit codes, pipes, signals; on a real cluster. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as tasks from './fixtures/tasks.ts';
import { openGate, type Setting, startSetting } from './setting.ts';

const bin = fileURLToPath(new URL('../../dist/cli/bin.js', import.meta.url));
let setting: Setting;
beforeAll(async () => {
  setting = await startSetting();
});
afterAll(() => setting?.cluster.close());

const shoal = (command: string): Promise<{ code: number | null; stdout: string; stderr: string }> =>
  setting.cluster.shoal(...command.split(' '));

async function dataOf<T>(command: string): Promise<T> {
  const { stdout, stderr } = await shoal(`${command} --json`);
  expect(stderr).toBe('');
  return JSON.parse(stdout) as T;
}
const idOf = async (key: string): Promise<string> => (await dataOf<{ job: string }>(`jobs get ${key}`)).job;

describe('a job', () => {
  it('is found by its id in any case, its key, and a beginning that no other has', async () => {
    const id = await idOf('odd');
    for (const name of [id, id.toUpperCase(), id.slice(0, 25)]) expect(await idOf(name)).toBe(id);
    const { code, stderr } = await shoal(`jobs get ${id.slice(0, 6)}`);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error\[SH1411\] several jobs begin with .{6}\n {2}why {4}.*\(cli\.\w+\), .* and 2 more\n/);
  });

  it('may have a key that looks like a task, or like another verb', async () => {
    expect(await dataOf('explain day/2024/11')).toMatchObject({ state: 'failed' });
    expect(await dataOf('explain day/2024/11/0/1')).toMatchObject({ state: 'dead' });
    expect((await shoal('jobs get run')).stderr).toMatch(/^error\[SH1401\] there is no job run\n/);
  });

  it('has tasks called JOB/STAGE/INDEX, or JOB INDEX', async () => {
    const id = await idOf('done');
    for (const name of ['done/0/2', 'done 2', `${id} 2`]) expect(await dataOf(`tasks get ${name}`)).toMatchObject({ id: `${id}/0/2` });
    for (const name of ['done', 'done x']) expect((await shoal(`tasks get ${name}`)).code).toBe(2);
  });
});

describe('lists', () => {
  it('come in pages that add up to the whole', async () => {
    const whole = (await dataOf<{ jobs: { job: string }[] }>('jobs list')).jobs.map(({ job }) => job);
    const pages: string[] = [];
    for (let next: string | undefined = ''; next !== undefined; ) {
      const page: { jobs: { job: string }[]; next?: string } = await dataOf(`jobs list --limit 3${next && ` --after ${next}`}`);
      pages.push(...page.jobs.map(({ job }) => job));
      next = page.next;
    }
    expect(pages).toEqual(whole);
    expect(whole).toHaveLength(7);
  });

  it('take their flags before the verb, behind it, and from the environment', async () => {
    const expected = (await shoal('jobs list --state failed --quiet')).stdout;
    expect(expected).toMatch(/^[0-9a-z]{26}\n$/);
    for (const command of ['--quiet jobs --state failed list', 'jobs --state=failed --quiet list'])
      expect((await shoal(command)).stdout).toBe(expected);
    const { cluster } = setting;
    const running = cluster.run(['jobs', 'list'], { SHOAL_ADDRESS: cluster.address, SHOAL_STATE: 'failed', SHOAL_QUIET: '1' });
    await running.ended;
    expect(running.stdout).toBe(expected);
  });

  it('of nothing say so on stderr', async () => {
    const { code, stdout, stderr } = await shoal('jobs list --state expired');
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toBe('there are no such jobs\n');
  });

  it('show what tasks said as text only (X13)', async () => {
    for (const command of ['jobs list', 'dlq list', 'tasks list tolerated', 'dlq get tolerated 1', 'explain day/2024/11', 'status']) {
      const { stdout, stderr } = await shoal(command);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there
      expect(stdout + stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]|^forged/m);
    }
    expect((await shoal('dlq list')).stdout).toContain('not two\\x1b[2J\\x9b31m\\u202e\\nforged');
    const { stdout } = await shoal('jobs result odd');
    expect(stdout).toContain('"\\u001b[2J\\u009b31m\\u202e\\r\\nforged"\n');
  });
});

describe('a result', () => {
  it('is a line of JSON a task, whatever the values are', async () => {
    const { code, stdout } = await shoal('jobs result odd');
    expect(code).toBe(0);
    expect(
      stdout
        .split('\n')
        .slice(0, 7)
        .map((line) => JSON.parse(line)),
    ).toEqual(['12', '1970-01-01T00:00:00.000Z', [['a', 1]], [1], 'AQI=', 'NaN', null]);
  });

  it('is one value of a reduced job', async () => expect((await shoal('jobs result sum')).stdout).toBe('12\n'));

  it('is read with the codec that wrote it', async () => {
    expect((await shoal('jobs result json')).stdout).toBe('{"n":7}\n{"n":100000}\n');
    const id = await idOf('json');
    expect(await (await setting.client.job(id)).result()).toEqual([{ n: 7 }, { n: 100_000 }]);
  });

  it('leaves out what failed: exit code 5 where that was tolerated, else 1 and why', async () => {
    expect(await shoal('jobs result tolerated')).toMatchObject({ code: 5, stdout: '1\n3\n', stderr: '' });
    const { code, stderr } = await shoal('jobs result day/2024/11');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error\[SH2001\] cli\.picky\[1\] failed: Error: not two/);
  });

  it('is waited for no longer than --timeout: exit code 4', async () => {
    const { code, stdout, stderr } = await shoal('jobs result open --timeout 50ms');
    expect({ code, stdout }).toEqual({ code: 4, stdout: '' });
    expect(stderr).toContain('error[SH1405] cli.gate: no result after 0.05 s; the job goes on');
  });

  it('of many tasks ends quietly when nobody reads on, and is whole when somebody does', async () => {
    const count = 100_000;
    await tasks.mixedUp.on(setting.client).with({ idempotencyKey: 'many' }).map(Array(count).keys()).result();
    const child = spawn(process.execPath, [bin, 'jobs', 'result', 'many'], {
      env: { ...setting.cluster.env, SHOAL_ADDRESS: setting.cluster.address },
    });
    let stderr = '';
    child.stderr.on('data', (text) => (stderr += text));
    await once(child.stdout, 'data');
    child.stdout.destroy();
    await once(child, 'exit');
    expect(stderr).toBe('');
    const { code, stdout } = await shoal('jobs result many');
    expect(code).toBe(0);
    expect(stdout).toBe(Array.from({ length: count }, (_, i) => `"${tasks.mixUp(i)}"\n`).join(''));
  });
});

describe('watching', () => {
  it.each([
    ['done', 0, /^cli\.double \(\w+\) has succeeded: 3 done, after /m],
    ['tolerated', 5, /^cli\.picky \(\w+\) has succeeded: 2 done, 1 failed as it may, after /m],
    ['day/2024/11', 1, /^error\[SH2001\] cli\.picky\[1\] failed/m],
  ])('%s ends with exit code %i', async (name, exitCode, said) => {
    const { code, stdout, stderr } = await shoal(`jobs watch ${name}`);
    expect({ code, stdout }).toEqual({ code: exitCode, stdout: '' });
    expect(stderr).toMatch(said);
  });

  it('ends when the watcher has seen enough, and the job goes on', async () => {
    const { cluster } = setting;
    const running = cluster.run(['jobs', 'watch', 'open', '--progress', 'json'], { SHOAL_ADDRESS: cluster.address });
    await running.said(/"running":1/);
    running.kill('SIGINT');
    expect((await running.ended).code).toBe(130);
    expect(running.stderr).toMatch(/shoal: the job goes on; watch it again: shoal jobs watch \w{26}\n$/);
    expect(await dataOf('jobs get open')).toMatchObject({ state: 'running' });
  });

  it('goes on until the job ends; so does --follow', async () => {
    const { cluster } = setting;
    const env = { SHOAL_ADDRESS: cluster.address };
    const watcher = cluster.run(['jobs', 'watch', 'open', '--progress', 'json'], env);
    const follower = cluster.run(['jobs', 'logs', 'open', '--follow'], env);
    await watcher.said(/"running":1/);
    expect(follower.isOver).toBe(false);
    openGate(setting);
    expect((await watcher.ended).code).toBe(0);
    expect((await follower.ended).code).toBe(0);
    expect(follower).toMatchObject({ stdout: '', stderr: 'there are no lines: its tasks printed nothing\n' });
  });
});

it('logs have a line a line, with the task that said it', async () => {
  expect((await shoal('jobs logs done')).stdout.split('\n').sort()).toEqual([
    '',
    'cli.double[0] doubling 1',
    'cli.double[1] doubling 2',
    'cli.double[2] doubling 3',
  ]);
});

describe('what somebody may have meant', () => {
  it.each([
    ['jobs', /^Usage: shoal jobs .*list \[options\].*delete/s],
    [
      'jobs get',
      /^error\[SH1311\] shoal jobs get needs <job>\n {2}why {4}usage: shoal jobs get \[options\] <job>\n {2}try {4}shoal jobs get --help\n/,
    ],
    ['jobs lst', /^error\[SH1311\] there is no command "jobs lst"\n.*\n {2}try {4}shoal jobs list\n/],
    ['jbos list', /^error\[SH1311\] there is no command "jbos"\n.*\n {2}try {4}shoal jobs\n/],
    ['jobs list --stat failed', /^error\[SH1311\] there is no flag --stat\n {2}why {4}jobs list knows .*\n {2}try {4}--state/],
    ['jobs list --state faild', /^error\[SH1311\] .*"faild" is none of queued, running/],
    ['jobs list --limit 0', /^error\[SH1311\] .*It is a whole number from 1 to 10000/],
    ['jobs list --address localhost:7690', /^error\[SH1311\] .*\n {2}try {4}--address http:\/\/localhost:7690\n/],
  ])('%s: exit code 2', async (command, said) => {
    const { code, stdout, stderr } = await shoal(command);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(said);
  });

  it('a worker, and a queue that nobody uses', async () => {
    expect((await shoal('workers get w11')).stderr).toMatch(
      /^error\[SH1410\] there is no worker w11\n {2}why {4}there is: w1\n {2}try {4}shoal workers get w1\n/,
    );
    expect(await shoal('queues pause defalt')).toMatchObject({
      code: 0,
      stdout: 'defalt is paused\n',
      stderr: 'no worker names defalt and no open job uses it; there is: default\n',
    });
    expect((await shoal('queues resume defalt')).stdout).toBe('defalt is open\n');
  });
});

it('a token that may only look may not change anything: exit code 3', async () => {
  const { cluster } = setting;
  const env = { SHOAL_ADDRESS: cluster.address, SHOAL_TOKEN: cluster.token('read-only') };
  const look = cluster.run(['status'], env);
  expect((await look.ended).code).toBe(0);
  const change = cluster.run(['queues', 'pause', 'default'], env);
  expect((await change.ended).code).toBe(3);
  expect(change.stderr).toMatch(/^error\[SH3002\]/);
});

it('a replay of one task starts it once, however often it is said (A07)', async () => {
  const letter = await dataOf<{ attempt: number }>('dlq get tolerated 1');
  const answers = await Promise.all([shoal('dlq replay tolerated 1 --json'), shoal('jobs watch tolerated --quiet')]);
  expect(JSON.parse(answers[0].stdout)).toMatchObject({ replayed: 1 });
  await shoal('jobs watch tolerated --quiet');
  expect(await dataOf('dlq get tolerated 1')).toMatchObject({ state: 'dead', attempt: letter.attempt + 1 });
});

it('watching goes on when the coordinator has gone and come back', async () => {
  const { cluster, client, gate } = setting;
  const again = `${gate}-again`;
  await tasks.gate
    .on(client)
    .with({ idempotencyKey: 'again' })
    .map([{ file: again }])
    .state();
  const watcher = cluster.run(['jobs', 'watch', 'again', '--progress', 'json'], { SHOAL_ADDRESS: cluster.address });
  await watcher.said(/"running":1/);
  cluster.coordinator.kill('SIGKILL');
  await cluster.coordinator.ended;
  await cluster.startCoordinator();
  openGate({ gate: again });
  expect((await watcher.ended).code).toBe(0);
});
