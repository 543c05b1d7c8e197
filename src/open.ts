/** The only place that picks implementations from addresses. */
import { availableParallelism } from 'node:os';
import { memoryBroker } from './brokers/memory.ts';
import type { Opened, OpenOptions } from './client/opener.ts';
import { threadsMax } from './client/options.ts';
import { Coordinator } from './coordinator/coordinator.ts';
import { noElection } from './elections/none.ts';
import { openJournal } from './journal-of.ts';
import { ShoalError } from './lib/errors.ts';
import { startWorker } from './worker/worker.ts';

interface Place {
  kind: 'local' | 'inline';
  threads: number | undefined;
  isolation: 'thread' | 'process' | undefined;
}

/** Here, one process that is client, coordinator and worker; or a coordinator somewhere else. */
export async function open(address: string, options: OpenOptions): Promise<Opened> {
  if (/^https?:/.test(address)) return (await import('./client/remote/cluster.ts')).openRemoteCluster(address, options);
  const place = parseAddress(address);
  const isInline = place.kind === 'inline';
  const threads = isInline ? 1 : (options.threads ?? place.threads ?? availableParallelism());
  const isolation = isInline ? 'inline' : (options.isolation ?? place.isolation ?? 'thread');
  const warn = options.onWarning ?? ((line: string): void => void process.emitWarning(line, { type: 'ShoalWarning' }));
  // A name of its own: a run and a cluster on the same server do not take each other's lead away.
  const journal = await openJournal(options.journal ?? 'memory:', { cluster: 'local', onWarning: warn });
  const broker = memoryBroker({ byHand: true });
  const coordinator = new Coordinator({
    broker,
    journal,
    election: noElection(),
    isOneMachine: true,
    ...(options.onLog ? { onLog: options.onLog } : {}),
    onWarning: warn,
  });
  try {
    await coordinator.start();
  } catch (error) {
    await journal.close();
    throw error;
  }
  const worker = await startWorker({
    // The same name at every start: a new incarnation voids at once what the last run had started (W11).
    worker: 'local',
    broker,
    slots: threads,
    isolation,
    queues: ['*'],
    ...(options.cancelGraceMs === undefined ? {} : { graceMs: options.cancelGraceMs }),
    onWarning: warn,
  });
  worker.warm();
  let closing: Promise<void> | undefined;
  return {
    address: isInline ? 'inline:' : `local:${threads}`,
    durable: journal.durability !== 'none',
    session: () => coordinator.session(),
    close: () =>
      (closing ??= (async () => {
        await worker.stop();
        await coordinator.stop();
        await broker.close();
        await journal.close();
      })()),
  };
}

function parseAddress(address: string): Place {
  const match = /^(local|inline):(\d+)?(?:\?(.*))?$/.exec(address);
  if (!match) throw unknownAddress(address);
  const kind = match[1] as Place['kind'];
  const threads = match[2] === undefined ? undefined : Number(match[2]);
  if (threads !== undefined && threads > threadsMax) {
    throw new ShoalError('SH1301', `"${address}" asks for too many threads`, { hint: `local:1 to local:${threadsMax}` });
  }
  if (threads === 0 || (kind === 'inline' && threads !== undefined)) throw unknownAddress(address);
  const query = new URLSearchParams(match[3] ?? '');
  const isolation = query.get('isolation') ?? undefined;
  for (const key of query.keys()) if (key !== 'isolation') throw unknownAddress(address);
  if (isolation !== undefined && isolation !== 'thread' && isolation !== 'process') throw unknownAddress(address);
  return { kind, threads, isolation };
}

function unknownAddress(address: string): ShoalError {
  return new ShoalError('SH1301', `"${address}" is no address that shoal knows`, {
    hint: 'use local:, local:8, local:8?isolation=process, inline:, or http://HOST:PORT of a coordinator',
  });
}
