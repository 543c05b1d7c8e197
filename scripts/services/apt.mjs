// @ts-check
/** Debian's packages, without starting the services that come with them: tests start servers of their own. */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { find } from '../servers/where.mjs';
import { run } from './run.mjs';

const policy = '/usr/sbin/policy-rc.d';
const patience = ['-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::Retries=3'];
/** Nobody is there to answer what shall become of a machine's own configuration. */
const keep = ['-o', 'Dpkg::Options::=--force-confdef', '-o', 'Dpkg::Options::=--force-confold'];
const env = { DEBIAN_FRONTEND: 'noninteractive' };
let isUpdated = false;

/** @param {readonly string[]} packages */
export async function aptInstall(packages) {
  if (packages.length === 0) return;
  if (!('path' in find('', 'apt-get'))) throw new Error(`no apt-get here: install ${packages.join(' ')} in this system's own way`);
  if (process.getuid?.() !== 0) {
    throw new Error(`only root installs: sudo apt-get install -y --no-install-recommends ${packages.join(' ')}`);
  }
  await update();
  const isOurs = !existsSync(policy);
  if (isOurs) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    await run('apt-get', [...patience, ...keep, 'install', '-y', '-qq', '--no-install-recommends', ...packages], { env });
  } finally {
    if (isOurs) rmSync(policy, { force: true });
  }
}

/** A machine's lists may be older than what its mirror still has. Without an answer, the old lists may do. */
async function update() {
  if (isUpdated) return;
  isUpdated = true;
  try {
    await run('apt-get', [...patience, 'update', '-qq'], { env });
  } catch (error) {
    console.log(error instanceof Error ? error.message : error);
  }
}
