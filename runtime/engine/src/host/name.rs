//! Function names as callers write them: a name, a partial ARN or a full ARN (AWS Lambda API, "Invoke",
//! FunctionName). Region, account and qualifier are not compared: a definition made for the cloud finds its
//! functions here under the same names, and here there is only `$LATEST`.

/// Whether `name` is a plain function name; such a name is also safe as a file name.
pub(super) fn is_valid(name: &str) -> bool {
    (1..=64).contains(&name.len()) && is_made_of_name_bytes(name)
}

/// The plain name in `name`, `name:qualifier`, `account:function:name[:qualifier]` or
/// `arn:partition:lambda:region:account:function:name[:qualifier]`; `None` if it is none of them.
pub(super) fn plain(reference: &str) -> Option<&str> {
    let parts: Vec<&str> = reference.split(':').collect();
    let (name, qualifier) = match parts.as_slice() {
        ["arn", _, "lambda", _, _, "function", name, rest @ ..] => (*name, rest),
        [account, "function", name, rest @ ..] if is_account(account) => (*name, rest),
        ["function", name, rest @ ..] => (*name, rest),
        [name, rest @ ..] => (*name, rest),
        [] => return None,
    };
    let qualified = match qualifier {
        [] => true,
        [one] => is_qualifier(one),
        _ => false,
    };
    (is_valid(name) && qualified).then_some(name)
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_qualifier(text: &str) -> bool {
    text == "$LATEST" || ((1..=128).contains(&text.len()) && is_made_of_name_bytes(text))
}

fn is_made_of_name_bytes(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn every_way_to_write_a_name_leads_to_the_name() {
        for reference in [
            "gradient",
            "gradient:$LATEST",
            "gradient:live",
            "function:gradient",
            "123456789012:function:gradient",
            "arn:aws:lambda:eu-west-1:123456789012:function:gradient",
            "arn:aws-cn:lambda:cn-north-1:123456789012:function:gradient:7",
        ] {
            assert_eq!(plain(reference), Some("gradient"), "{reference}");
        }
        for reference in
            ["", ":", "a b", "../etc", "arn:aws:s3:::bucket", "gradient:", "gradient:a:b", "arn:aws:lambda"]
        {
            assert_eq!(plain(reference), None, "{reference}");
        }
    }
}
