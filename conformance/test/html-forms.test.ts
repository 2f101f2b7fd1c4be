import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  asksForCredentials,
  firstSubmitButton,
  formsOf,
  isAddressField,
  isCodeField,
  submissionOf,
} from '../browser/html-forms.ts';

const page = `<!doctype html>
<html><head><title>a <form> in a title</title><script>document.write('<form action="/script">')</script></head>
<body><!-- <form action="/comment"> -->
<form id=main method=POST action="/sign-in?a=1&amp;b=2">
  <input type=hidden name=csrf value="x&quot;y&#39;z&#x41;">
  <label>E-mail <input TYPE="email" name='address' required autofocus></label>
  <input name=kept value="as it is"><input name=off value=1 disabled><input type=checkbox name=box>
  <input type=checkbox name=checked checked>
  <select name=language><option value=de>Deutsch<option value=en selected>English</select>
  <textarea name=note>a <b> & c</textarea>
  <button type=button name=no value=1>Help</button>
  <button name=go value=yes>Continue</button><button name=go value=no>Cancel</button>
</form>
<form action=/search><input type=search name=q><input type=submit value=Search></form>
<button form=main name=late formaction=/elsewhere>Late</button>
</body></html>`;

describe('formsOf', () => {
  it('finds the forms of a page in their order, and none in comments, scripts and titles', () => {
    const forms = formsOf(page);
    expect(forms.map(({ method, action }) => [method, action])).toEqual([
      ['POST', '/sign-in?a=1&b=2'],
      ['GET', '/search'],
    ]);
  });

  it('sends what a browser sends: the first button, no disabled, unchecked or unnamed control', () => {
    const [form] = formsOf(page);
    const sent = submissionOf(form!, firstSubmitButton(form!), (field) =>
      isAddressField(field) ? 'ada@example.com' : undefined,
    );
    expect([...sent]).toEqual([
      ['csrf', `x"y'zA`],
      ['address', 'ada@example.com'],
      ['kept', 'as it is'],
      ['checked', 'on'],
      ['language', 'en'],
      ['note', 'a <b> & c'],
      ['go', 'yes'],
    ]);
  });

  it('knows the button that stands outside and names its form', () => {
    const html =
      '<form id="f" method="post" action="/end"></form><button form="f" name="yes" value="1">Yes</button>';
    const [form] = formsOf(html);
    expect(submissionOf(form!, firstSubmitButton(form!)).toString()).toBe('yes=1');
  });

  it('knows fields for addresses and for codes', () => {
    const [form] = formsOf(
      '<form><input name="c" autocomplete="section-a one-time-code"><input type="email"></form>',
    );
    expect(form!.fields.map(isCodeField)).toEqual([true, false]);
    expect(form!.fields.map(isAddressField)).toEqual([false, false]);
    expect(asksForCredentials(form!)).toBe(true);
    expect(asksForCredentials(formsOf('<form><button>Allow</button></form>')[0]!)).toBe(false);
  });

  it('reads anything without failing or running away', () => {
    const fragments = fc.constantFrom(
      '<',
      '>',
      '<form ',
      '</form>',
      '<input name="',
      '"',
      "'",
      '=',
      '<!--',
      '&#9;',
      'a',
      '<select>',
      '<option ',
    );
    fc.assert(
      fc.property(fc.array(fragments, { maxLength: 60 }), (parts) => {
        expect(Array.isArray(formsOf(parts.join('')))).toBe(true);
      }),
    );
  });
});
