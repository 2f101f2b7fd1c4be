import type { AccountRecord, IssuerRecord, OrganizationRecord } from './records.ts';

type PlanUser = AccountRecord | IssuerRecord | OrganizationRecord;

/** Which of the records that are held are on which plan, so that a change of a plan finds them without a search. */
export class PlanUsers {
  readonly #users = new Map<string, Set<PlanUser>>();

  add(record: PlanUser): void {
    const name = planNameOf(record);
    if (name === undefined) return;
    const users = this.#users.get(name);
    if (users === undefined) this.#users.set(name, new Set([record]));
    else users.add(record);
  }

  remove(record: PlanUser): void {
    const name = planNameOf(record);
    if (name === undefined) return;
    const users = this.#users.get(name);
    users?.delete(record);
    if (users?.size === 0) this.#users.delete(name);
  }

  /** @param planName of `ownPlanName` or `accountPlanName` */
  of(planName: string): readonly PlanUser[] {
    return [...(this.#users.get(planName) ?? [])];
  }
}

/** What an account's own plan is called among the names of what has changed. */
export function ownPlanName(accountId: string, name: string): string {
  return `plan ${accountId} ${name}`;
}

/** The same for a plan of the operator's, which accounts are on. */
export function accountPlanName(name: string): string {
  return `plan ${name}`;
}

/** The plan that a record is on, by that name; undefined for none. */
export function planNameOf(record: PlanUser): string | undefined {
  const { plan } = record;
  if (plan === null) return undefined;
  if ('issuerId' in record) return ownPlanName(record.accountId, plan);
  return 'account' in record ? ownPlanName(record.account.id, plan) : accountPlanName(plan);
}
