/** What there is to say about a server's setting, as `doctor` says it. */
import type { Finding as Setting } from '../../lib/finding.ts';
import type { Finding } from './doctor.ts';

const statuses = { good: 'ok', warning: 'warn', refuse: 'fail' } as const;

export function settingFinding(check: string, { level, setting, meaning, fix }: Setting): Finding {
  return { check, status: statuses[level], what: `${setting}: ${meaning}`, ...(fix !== undefined && { try: fix }) };
}
