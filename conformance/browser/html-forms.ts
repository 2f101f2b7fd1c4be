import { type HtmlPart, htmlParts } from './html-tags.ts';

/** A control of a form that has a name, or that submits it. */
export interface FormField {
  readonly name: string;
  /** `submit` for a button that submits; `select` and `textarea` for these; else the type of an input. */
  readonly type: string;
  readonly value: string;
  readonly autocomplete: string;
  readonly isDisabled: boolean;
  /** Of a checkbox or a radio button. */
  readonly isChecked: boolean;
  /** Where a button submits to, if it says so itself. */
  readonly action: string | undefined;
}

/** A form of a page, its controls in the order of the page. */
export interface HtmlForm {
  readonly id: string | undefined;
  /** As the page writes it; the page itself where it is missing. */
  readonly action: string;
  readonly method: 'GET' | 'POST';
  readonly fields: readonly FormField[];
}

type StartTag = Extract<HtmlPart, { kind: 'start' }>;
type OpenForm = Omit<HtmlForm, 'fields'> & { fields: FormField[] };
type OpenSelect = {
  tag: StartTag;
  form: OpenForm | undefined;
  values: { value: string; isSelected: boolean }[];
};

/** The forms of a page, with the controls inside them and those that name them by `form=`. */
export function formsOf(html: string): readonly HtmlForm[] {
  const parts = [...htmlParts(html)];
  const forms = parts.filter((part) => part.kind === 'start' && part.name === 'form').map(toForm);
  let opened = 0;
  let current: OpenForm | undefined;
  let select: OpenSelect | undefined;
  for (const [index, part] of parts.entries()) {
    if (part.kind === 'end') {
      if (part.name === 'form') current = undefined;
      if (part.name === 'select' && select !== undefined) {
        select.form?.fields.push(fieldOf(select.tag, 'select', selectedOf(select)));
        select = undefined;
      }
    }
    if (part.kind !== 'start') continue;
    if (part.name === 'form') {
      current = forms[opened];
      opened += 1;
      continue;
    }
    const named = part.attributes.get('form');
    const form = named === undefined ? current : forms.find(({ id }) => id === named);
    if (part.name === 'select') select = { tag: part, form, values: [] };
    if (part.name === 'option' && select !== undefined) select.values.push(optionOf(part, parts[index + 1]));
    const field = toField(part, parts[index + 1]);
    if (field !== undefined) form?.fields.push(field);
  }
  return forms;
}

function toForm(part: HtmlPart): OpenForm {
  const { attributes } = part as StartTag;
  return {
    id: attributes.get('id'),
    action: attributes.get('action') ?? '',
    method: attributes.get('method')?.toLowerCase() === 'post' ? 'POST' : 'GET',
    fields: [],
  };
}

function toField(tag: StartTag, next: HtmlPart | undefined): FormField | undefined {
  if (tag.name === 'textarea') return fieldOf(tag, 'textarea', next?.kind === 'text' ? next.text : '');
  if (tag.name === 'button') {
    const type = (tag.attributes.get('type') ?? 'submit').toLowerCase();
    return fieldOf(tag, type, tag.attributes.get('value') ?? '');
  }
  if (tag.name !== 'input') return undefined;
  const type = (tag.attributes.get('type') ?? 'text').toLowerCase();
  // HTML §4.10.5.1.15: a box that says no value is `on`.
  const fallback = type === 'checkbox' || type === 'radio' ? 'on' : '';
  return fieldOf(tag, type === 'image' ? 'submit' : type, tag.attributes.get('value') ?? fallback);
}

function fieldOf({ attributes }: StartTag, type: string, value: string): FormField {
  return {
    name: attributes.get('name') ?? '',
    type,
    value,
    autocomplete: (attributes.get('autocomplete') ?? '').toLowerCase(),
    isDisabled: attributes.has('disabled'),
    isChecked: attributes.has('checked'),
    action: attributes.get('formaction'),
  };
}

function optionOf({ attributes }: StartTag, next: HtmlPart | undefined) {
  const text = next?.kind === 'text' ? next.text.trim() : '';
  return { value: attributes.get('value') ?? text, isSelected: attributes.has('selected') };
}

function selectedOf({ values }: OpenSelect): string {
  return (values.find(({ isSelected }) => isSelected) ?? values[0])?.value ?? '';
}

/** Whether a form asks who somebody is: an address, or a code that was sent to one. */
export function asksForCredentials(form: HtmlForm): boolean {
  return form.fields.some((field) => isAddressField(field) || isCodeField(field));
}

/** The field that takes an e-mail address. */
export function isAddressField({ type, name }: FormField): boolean {
  return type === 'email' && name !== '';
}

/** The field that takes a code that was sent. */
export function isCodeField({ autocomplete, name, type }: FormField): boolean {
  return autocomplete.split(/\s+/).includes('one-time-code') && name !== '' && type !== 'hidden';
}

/** The button that a browser takes when Enter is pressed: the first that submits. */
export function firstSubmitButton(form: HtmlForm): FormField | undefined {
  return form.fields.find(({ type, isDisabled }) => type === 'submit' && !isDisabled);
}

/**
 * What a form sends when a button submits it (HTML §4.10.22.4). `filled` gives what was typed into a field, or
 * nothing where its value stays as the page wrote it.
 */
export function submissionOf(
  form: HtmlForm,
  button: FormField | undefined,
  filled: (field: FormField) => string | undefined = () => undefined,
): URLSearchParams {
  const sent = new URLSearchParams();
  for (const field of form.fields) {
    if (field.name === '' || field.isDisabled || ['reset', 'button', 'file'].includes(field.type)) continue;
    if (field.type === 'submit' && field !== button) continue;
    if ((field.type === 'checkbox' || field.type === 'radio') && !field.isChecked) continue;
    sent.append(field.name, filled(field) ?? field.value);
  }
  return sent;
}
