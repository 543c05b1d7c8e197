/** `shoal doctor`: looks at this machine, the way to the coordinator, and where it keeps things; says what to mend. */
import { closeSync, existsSync, fdatasyncSync, openSync, readFileSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { Connection } from '../../client/connection.ts';
import { openRemoteSession } from '../../client/remote/session.ts';
import type { ClusterView } from '../../core/answers.ts';
import type { ShoalError } from '../../lib/errors.ts';
import { version } from '../../lib/version.ts';
import { memoryLimit } from '../../worker/memory.ts';
import { type Target, targetOf } from '../flags.ts';
import { watchPipes } from '../run-program.ts';
import type { AdminFlags } from './cluster.ts';
import { Output, size } from './output.ts';

interface Finding {
  check: string;
  status: 'ok' | 'warn' | 'fail';
  what: string;
  try?: string;
}

export function defineDoctor(command: Command): void {
  command
    .summary('versions, ports, clock, tokens, journal and memory: what is wrong and how to mend it')
    .addOption(new Option('--journal <where>', 'look at this journal; default: .shoal if it is there').env('SHOAL_JOURNAL'))
    .action(doctor);
}

async function doctor(flags: AdminFlags & { journal?: string }): Promise<void> {
  watchPipes();
  const output = new Output(flags);
  const findings = [...machine(), ...(await coordinator(flags)), ...journal(flags.journal)];
  const failed = findings.filter(({ status }) => status === 'fail').length;
  output.give({ ok: failed === 0, checks: findings }, () => {
    const marks = { ok: output.paint.green('ok  '), warn: output.paint.yellow('warn'), fail: output.paint.red('FAIL') };
    const width = Math.max(...findings.map(({ check }) => check.length));
    for (const { check, status, what, try: advice } of findings) {
      output.line(`${marks[status]}  ${check.padEnd(width)}  ${what}`);
      if (advice !== undefined)
        for (const line of advice.split('\n')) output.line(`      ${' '.repeat(width)}  ${output.paint.dim('try')} ${line}`);
    }
  });
  if (failed > 0) process.exitCode = 1;
}

const openFilesMin = 4_096;

function machine(): Finding[] {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const isNew = major > 20 || (major === 20 && minor >= 19);
  const files = openFilesLimit();
  return [
    {
      check: 'node',
      status: isNew ? 'ok' : 'fail',
      what: `${process.version}, shoal ${version}`,
      ...(!isNew && { try: 'Node 20.19 or later' }),
    },
    { check: 'cores', status: 'ok', what: String(availableParallelism()) },
    { check: 'memory', status: 'ok', what: size(memoryLimit()) },
    ...(files === undefined
      ? []
      : [
          files >= openFilesMin
            ? { check: 'open files', status: 'ok' as const, what: String(files) }
            : {
                check: 'open files',
                status: 'warn' as const,
                what: `${files}, too few for a coordinator with many workers`,
                try: 'ulimit -n 65536',
              },
        ]),
  ];
}

function openFilesLimit(): number | undefined {
  try {
    const soft = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return soft === undefined ? undefined : soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return undefined;
  }
}

async function coordinator(flags: AdminFlags): Promise<Finding[]> {
  const target = targetOf(flags, ['admin', 'client+bundles', 'client', 'read-only']);
  const findings: Finding[] = [{ check: 'address', status: 'ok', what: `${target.address}, from ${target.from}` }];
  const live = await probe(`${target.address}/livez`);
  if (!live) {
    const isFree = await isPortFree(target.address);
    const what = isFree ? 'nobody listens there' : 'something listens there, but it does not answer like a coordinator';
    findings.push({ check: 'coordinator', status: 'fail', what, try: 'shoal coordinator\nor say where it is: --address URL' });
    return findings;
  }
  findings.push({ check: 'coordinator', status: 'ok', what: 'it answers' });
  if (live.dateMs !== undefined) findings.push(clock(live.dateMs - Date.now()));
  const ready = await probe(`${target.address}/readyz`);
  if (ready?.status !== 200)
    findings.push({ check: 'ready', status: 'fail', what: ready?.text ?? 'it does not answer', try: 'look at its log' });
  findings.push({
    check: 'token',
    status: target.token ? 'ok' : 'warn',
    what: target.token ? 'there is one' : 'there is none to show',
    ...(!target.token && { try: "set SHOAL_TOKEN, or --token-file, to one of the coordinator's tokens" }),
  });
  return [...findings, ...(await inside(target))];
}

function clock(skewMs: number): Finding {
  const seconds = Math.round(Math.abs(skewMs) / 1000);
  if (seconds <= 5) return { check: 'clock', status: 'ok', what: 'agrees with the coordinator’s' };
  // Nothing is judged by comparing clocks of two machines; what people read is.
  return {
    check: 'clock',
    status: 'warn',
    what: `differs from the coordinator's by ${seconds} s: times shown are off by that`,
    try: 'synchronise both (NTP)',
  };
}

async function inside(target: Target): Promise<Finding[]> {
  try {
    const connection = new Connection(await openRemoteSession({ ...target, attempts: 1 }));
    const view = await connection.request<ClusterView>({ kind: 'status' }).finally(() => connection.close());
    const { workers, problems, durability } = view;
    return [
      { check: 'access', status: 'ok', what: `let in; it runs shoal ${view.version}` },
      durability === 'none'
        ? {
            check: 'durability',
            status: 'warn',
            what: 'its journal is in memory: jobs end with it',
            try: 'shoal coordinator --journal file:DIR',
          }
        : { check: 'durability', status: 'ok', what: durability },
      workers.live === 0
        ? { check: 'workers', status: 'warn', what: 'there are none', try: `shoal worker --address ${target.address} --allow-bundles` }
        : { check: 'workers', status: 'ok', what: `${workers.live} with ${workers.slots} slots` },
      ...problems.map((problem): Finding => ({ check: 'problem', status: 'warn', ...problem })),
    ];
  } catch (error) {
    const { message, why, hint } = error as ShoalError;
    return [
      {
        check: 'access',
        status: 'fail',
        what: why === undefined ? message : `${message}: ${why}`,
        ...(hint !== undefined && { try: hint }),
      },
    ];
  }
}

const probeMs = 3_000;

async function probe(url: string): Promise<{ status: number; text: string; dateMs: number | undefined } | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(probeMs) });
    const date = response.headers.get('date');
    return { status: response.status, text: (await response.text()).trim(), dateMs: date === null ? undefined : Date.parse(date) };
  } catch {
    return undefined;
  }
}

function isPortFree(address: string): Promise<boolean> {
  const { hostname, port } = new URL(address);
  return new Promise((resolve_) => {
    const server = createServer();
    server.once('error', () => resolve_(false));
    server.listen(Number(port) || 80, hostname.replace(/[[\]]/g, ''), () => server.close(() => resolve_(true)));
  });
}

const freeBytesMin = 2 ** 30;
const syncs = 20;
const slowSyncMs = 20;

/** Where jobs live on this machine, if they do. */
function journal(where: string | undefined): Finding[] {
  const given = where === undefined ? undefined : /^file:(?:\/\/)?(.+)$/.exec(where)?.[1];
  if (where !== undefined && given === undefined) return [];
  const folder = resolve(given ?? '.shoal');
  if (!existsSync(folder)) {
    return given === undefined ? [] : [{ check: 'journal', status: 'warn', what: `${folder} is not there yet; a coordinator makes it` }];
  }
  const findings: Finding[] = [];
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  findings.push(
    free >= freeBytesMin
      ? { check: 'journal', status: 'ok', what: `${folder}, ${size(free)} free` }
      : {
          check: 'journal',
          status: 'warn',
          what: `${folder} has only ${size(free)} free`,
          try: 'free some space: without any no new job is taken',
        },
  );
  findings.push(disk(folder));
  const tokens = join(folder, 'tokens');
  const mode = statSync(tokens, { throwIfNoEntry: false })?.mode;
  if (mode !== undefined && (mode & 0o027) !== 0) {
    findings.push({ check: 'tokens', status: 'fail', what: `${tokens} is open to others`, try: `chmod 600 ${tokens}` });
  }
  return findings;
}

/** What each commit costs at least. */
function disk(folder: string): Finding {
  const file = join(folder, `.doctor-${process.pid}`);
  try {
    const handle = openSync(file, 'w', 0o600);
    const times: number[] = [];
    for (let i = 0; i < syncs; i++) {
      writeSync(handle, 'x'.repeat(512));
      const startMs = performance.now();
      fdatasyncSync(handle);
      times.push(performance.now() - startMs);
    }
    closeSync(handle);
    const median = times.sort((a, b) => a - b)[syncs / 2]!;
    const what = `a commit costs at least ${median.toFixed(2)} ms (fdatasync)`;
    return median < slowSyncMs
      ? { check: 'disk', status: 'ok', what }
      : { check: 'disk', status: 'warn', what, try: 'a faster disk for the journal' };
  } catch (error) {
    return {
      check: 'disk',
      status: 'fail',
      what: `${folder} cannot be written to: ${(error as Error).message}`,
      try: `chown or chmod ${folder}`,
    };
  } finally {
    rmSync(file, { force: true });
  }
}
