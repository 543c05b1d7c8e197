// @ts-check
/** Debian's packages, without starting the services that come with them: tests start servers of their own. */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { run, which } from './run.mjs';

const policy = '/usr/sbin/policy-rc.d';
let isUpdated = false;

/** @param {readonly string[]} packages */
export function aptInstall(packages) {
  if (!which('apt-get')) throw new Error(`no apt-get here: install ${packages.join(' ')} in this system's own way`);
  if (process.getuid?.() !== 0)
    throw new Error(`only root installs: sudo apt-get install -y --no-install-recommends ${packages.join(' ')}`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const wait = ['-o', 'DPkg::Lock::Timeout=300'];
  if (!isUpdated) run('apt-get', [...wait, 'update', '-qq'], { env });
  isUpdated = true;
  const isOurs = !existsSync(policy);
  if (isOurs) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    run('apt-get', [...wait, 'install', '-y', '-qq', '--no-install-recommends', ...packages], { env });
  } finally {
    if (isOurs) rmSync(policy, { force: true });
  }
}
