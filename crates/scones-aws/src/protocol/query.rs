//! The query protocol of STS and IAM: a form comes in, XML goes out.
//! <https://smithy.io/2.0/aws/protocols/aws-query-protocol.html>
//!
//! `Tags.member.1.Key=a` becomes `{"Tags":[{"Key":"a"}]}`, and arrays in the
//! answer become `<member>` elements again.

use std::{borrow::Cow, collections::BTreeMap};

use http::{HeaderValue, Response};
use percent_encoding::percent_decode_str;
use quick_xml::escape::escape;
use scones_api::ApiError;
use serde_json::{Map, Value};

use super::{Body, json::answer};

/// The members that are numbers; a form knows text only.
const NUMBERS: [&str; 4] = ["DurationSeconds", "MaxItems", "MaxResults", "MaxSessionDuration"];

/// How deep a form's names may nest.
const DEPTH_MAX: usize = 16;

/// A form's operation and its members as JSON.
pub(crate) fn request(form: &[u8]) -> Result<(String, Value), ApiError> {
    let text = std::str::from_utf8(form).map_err(|_| malformed("the form is not UTF-8"))?;
    let mut tree = Node::default();
    let mut action = None;
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name)?, decoded(value)?);
        match name.as_ref() {
            "Action" => action = Some(value.into_owned()),
            "Version" => {}
            name => tree.insert(name, value.into_owned())?,
        }
    }
    let action = action.ok_or_else(|| ApiError::bad_request("MissingAction", "the form has no parameter `Action`"))?;
    Ok((action, tree.into_value("")))
}

pub(crate) fn respond(
    namespace: &str,
    operation: &str,
    request_id: &str,
    result: Result<Vec<u8>, ApiError>,
) -> Response<Body> {
    let result = result.and_then(|bytes| match bytes.as_slice() {
        [] => Ok(Value::Object(Map::new())),
        json => serde_json::from_slice(json).map_err(ApiError::internal),
    });
    let (status, xml) = match result {
        Ok(value) => {
            let mut xml = format!("<{operation}Response xmlns=\"{namespace}\"><{operation}Result>");
            write_value(&mut xml, &value);
            xml += &format!(
                "</{operation}Result><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>"
            );
            (200, xml)
        }
        Err(error) => {
            let kind = if error.is_server_fault() { "Receiver" } else { "Sender" };
            let (code, message) = (escape(error.code.as_str()), escape(error.message.as_str()));
            let xml = format!(
                "<ErrorResponse xmlns=\"{namespace}\"><Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
            );
            (error.status, xml)
        }
    };
    answer(status, HeaderValue::from_static("text/xml"), xml)
}

fn malformed(message: &str) -> ApiError {
    ApiError::bad_request("MalformedInput", message)
}

fn decoded(text: &str) -> Result<Cow<'_, str>, ApiError> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced)
        .decode_utf8()
        .map_err(|_| malformed("the form is not UTF-8"))?;
    Ok(Cow::Owned(decoded.into_owned()))
}

/// A form's members by the parts of their dotted names.
#[derive(Default)]
struct Node {
    text: Option<String>,
    children: BTreeMap<String, Node>,
}

impl Node {
    fn insert(&mut self, name: &str, value: String) -> Result<(), ApiError> {
        if name.split('.').count() > DEPTH_MAX {
            return Err(malformed("a parameter's name nests too deeply"));
        }
        let mut node = self;
        for part in name.split('.') {
            node = node.children.entry(part.to_owned()).or_default();
        }
        node.text = Some(value);
        Ok(())
    }

    fn into_value(mut self, name: &str) -> Value {
        if let Some(text) = self.text {
            return match text.parse::<i64>() {
                Ok(number) if NUMBERS.contains(&name) => number.into(),
                _ => Value::String(text),
            };
        }
        if let (1, Some(members)) = (self.children.len(), self.children.remove("member")) {
            return members.into_list();
        }
        self.children
            .into_iter()
            .map(|(name, node)| (name.clone(), node.into_value(&name)))
            .collect()
    }

    /// Members in the order of their numbers.
    fn into_list(self) -> Value {
        let mut members: Vec<(u32, Self)> = self
            .children
            .into_iter()
            .map(|(number, node)| (number.parse().unwrap_or(u32::MAX), node))
            .collect();
        members.sort_by_key(|(number, _)| *number);
        members.into_iter().map(|(_, node)| node.into_value("")).collect()
    }
}

fn write_value(xml: &mut String, value: &Value) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (name, member) in members.iter().filter(|(_, member)| !member.is_null()) {
                *xml += &format!("<{name}>");
                write_value(xml, member);
                *xml += &format!("</{name}>");
            }
        }
        Value::Array(members) => {
            for member in members {
                xml.push_str("<member>");
                write_value(xml, member);
                xml.push_str("</member>");
            }
        }
        Value::String(text) => xml.push_str(&escape(text.as_str())),
        Value::Bool(_) | Value::Number(_) => xml.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::json;

    use super::*;

    fn check(form: &str, operation: &str, expected: Value) {
        assert_eq!(
            request(form.as_bytes()).unwrap(),
            (operation.to_owned(), expected),
            "{form}"
        );
    }

    #[test]
    fn a_form_becomes_json() {
        check(
            "Action=GetCallerIdentity&Version=2011-06-15",
            "GetCallerIdentity",
            json!({}),
        );
        check(
            "Action=GetRole&RoleName=a+b%2Fc",
            "GetRole",
            json!({"RoleName": "a b/c"}),
        );
        check(
            "Action=A&DurationSeconds=900&RoleName=12",
            "A",
            json!({"DurationSeconds": 900, "RoleName": "12"}),
        );
        check(
            "Action=A&Names.member.10=j&Names.member.2=b&Names.member.1=a",
            "A",
            json!({"Names": ["a", "b", "j"]}),
        );
        check(
            "Action=A&Tags.member.1.Key=k&Tags.member.1.Value=v",
            "A",
            json!({"Tags": [{"Key": "k", "Value": "v"}]}),
        );
    }

    #[test]
    fn a_bad_form_is_refused() {
        for form in [
            &b"Version=1"[..],
            b"",
            b"Action=A&x=%ff",
            b"\xff",
            b"Action=A&a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q=1",
        ] {
            assert_eq!(request(form).unwrap_err().status, 400);
        }
    }

    #[tokio::test]
    async fn an_answer_becomes_xml() {
        let answer = respond(
            "urn:x",
            "Get",
            "id",
            Ok(br#"{"A":"<&>","L":[{"B":1},{"B":true}],"N":null}"#.to_vec()),
        );
        let xml = answer.into_body().collect().await.unwrap().to_bytes();
        insta::assert_snapshot!(String::from_utf8_lossy(&xml), @r#"<GetResponse xmlns="urn:x"><GetResult><A>&lt;&amp;&gt;</A><L><member><B>1</B></member><member><B>true</B></member></L></GetResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></GetResponse>"#);
        let answer = respond("urn:x", "Get", "id", Err(ApiError::new(404, "NoSuchEntity", "no <x>")));
        assert_eq!(answer.status(), 404);
        let xml = answer.into_body().collect().await.unwrap().to_bytes();
        insta::assert_snapshot!(String::from_utf8_lossy(&xml), @r#"<ErrorResponse xmlns="urn:x"><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>no &lt;x&gt;</Message></Error><RequestId>id</RequestId></ErrorResponse>"#);
    }

    proptest::proptest! {
        #[test]
        fn no_form_panics(form in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60)) {
            let _ = request(&form);
        }
    }
}
