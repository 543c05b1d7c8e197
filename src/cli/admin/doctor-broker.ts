/** The server that carries messages, as a coordinator or a worker would find it: each setting that matters, and whether a message goes round. */
import { inspectServer, openServerBroker, serverPlace } from '../../broker-of.ts';
import { type BrokerFlags, clusterSecretOf } from '../flags.ts';
import type { Finding } from './doctor.ts';
import { failed } from './doctor-cluster.ts';
import { settingFinding } from './doctor-setting.ts';

export async function examineBroker({ broker, ...flags }: BrokerFlags & { broker: string }): Promise<Finding[]> {
  try {
    const place = serverPlace(broker, flags.cluster, clusterSecretOf(flags));
    if (!place) return [];
    const settings = (await inspectServer(place)).map((finding) => settingFinding('broker', finding));
    const isFit = settings.every(({ status }) => status !== 'fail');
    // What a setting does to it is told beside that setting.
    const went = isFit ? [await round(place).catch(refused)] : [];
    return [...settings, ...went, secrecy(place.secret)];
  } catch (error) {
    return [refused(error)];
  }
}

/** Without the advice to do what is being done. */
function refused(error: unknown): Finding {
  const { try: advice, ...finding } = failed('broker', error);
  return advice === undefined || advice.startsWith('shoal doctor --broker') ? finding : { ...finding, try: advice };
}

async function round(place: NonNullable<ReturnType<typeof serverPlace>>): Promise<Finding> {
  const startMs = performance.now();
  const broker = await openServerBroker(place);
  const tookMs = performance.now() - startMs;
  await broker.close();
  return { check: 'broker', status: 'ok', what: `a message went round; connecting and that took ${tookMs.toFixed(0)} ms` };
}

function secrecy(secret: string | undefined): Finding {
  if (secret !== undefined) return { check: 'cluster secret', status: 'ok', what: 'messages are signed with it' };
  const what = 'there is none: who may write to the broker may run code on the workers';
  return {
    check: 'cluster secret',
    status: 'warn',
    what,
    try: '--cluster-secret-file FILE, the same on all, made by: openssl rand -hex 32',
  };
}
